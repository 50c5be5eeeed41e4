"""Eltwise."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_same, expect_tops, fail
from cmodel.proto import caffe_pb2


def eltwise(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as the bottoms, which have one shape."""
    expect_tops(layer, 1)
    if len(bottoms) < 2:
        raise fail(layer, f"the layer takes 2 or more bottom blobs, not {len(bottoms)}")
    expect_same(layer, bottoms)
    param = layer.param.eltwise_param
    if param.coeff:
        if param.operation != caffe_pb2.EltwiseParameter.SUM:
            raise fail(layer, "coeff is for the operation SUM only")
        if len(param.coeff) != len(bottoms):
            raise fail(layer, f"{len(param.coeff)} coefficients for {len(bottoms)} bottom blobs")
    return LayerShapes([bottoms[0]])
