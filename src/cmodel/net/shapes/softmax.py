"""Softmax along one axis."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, canonical_axis, expect_bottoms, expect_tops


def softmax(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    canonical_axis(layer, layer.param.softmax_param.axis, len(bottoms[0]))
    return LayerShapes([bottoms[0]])
