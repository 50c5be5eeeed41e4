"""LRN, across channels and within a channel."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops, fail


def lrn(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom, which has 4 axes; the window is odd."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 4, 4)
    size = layer.param.lrn_param.local_size
    if size % 2 == 0:
        raise fail(layer, f"local_size must be odd, not {size}")
    return LayerShapes([bottoms[0]])
