"""BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops


def batch_norm(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom; parameters are mean (C,), variance (C,) and their common factor (1,)."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 1)
    channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
    return LayerShapes([bottoms[0]], [(channels,), (channels,), (1,)])
