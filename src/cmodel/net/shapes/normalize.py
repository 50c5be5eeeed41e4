"""Normalize of SSD."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops


def normalize(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom; one factor for each channel, or a single one."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 2)
    shared = layer.param.norm_param.channel_shared
    return LayerShapes([bottoms[0]], [() if shared else (bottoms[0][1],)])
