"""ShuffleChannel of ShuffleNet."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    expect_bottoms,
    expect_rank,
    expect_tops,
    fail,
    positive,
)


def shuffle_channel(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 2)
    group = positive(layer, layer.param.shuffle_channel_param.group, "group")
    if bottoms[0][1] % group:
        raise fail(
            layer, f"group {group} does not divide {bottoms[0][1]} channels", blob=layer.bottoms[0]
        )
    return LayerShapes([bottoms[0]])
