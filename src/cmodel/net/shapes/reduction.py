"""Reduction over the last axes."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, canonical_axis, expect_bottoms, expect_tops


def reduction(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top has the axes before `axis`."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    axis = canonical_axis(layer, layer.param.reduction_param.axis, len(bottoms[0]))
    return LayerShapes([bottoms[0][:axis]])
