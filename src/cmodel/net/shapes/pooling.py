"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops, fail
from cmodel.net.shapes.windows import pooled_size, pooling_window
from cmodel.proto import caffe_pb2


def pooling(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (N, C, out...); a second top, for MAX, holds the positions of the maxima."""
    expect_bottoms(layer, bottoms, 1)
    expect_rank(layer, bottoms, 0, 4, 4)
    maximum = layer.param.pooling_param.pool == caffe_pb2.PoolingParameter.MAX
    expect_tops(layer, 1, 2 if maximum else 1)
    if layer.param.pooling_param.pool == caffe_pb2.PoolingParameter.STOCHASTIC:
        raise fail(layer, "stochastic pooling is not defined outside training on a GPU")
    size = pooled_size(layer, bottoms[0], pooling_window(layer, bottoms[0]))
    return LayerShapes([(*bottoms[0][:2], *size)] * len(layer.tops))
