"""PReLU: one slope for each channel, or one for all."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops


def prelu(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom; parameter (C,), or a scalar where `channel_shared` is set."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 2)
    shared = layer.param.prelu_param.channel_shared
    return LayerShapes([bottoms[0]], [() if shared else bottoms[0][1:2]])
