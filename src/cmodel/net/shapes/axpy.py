"""Axpy of SENet."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops, fail, text


def axpy(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as the second and third bottom, from a factor (N, C) or (N, C, 1, 1), x and y."""
    expect_bottoms(layer, bottoms, 3)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 1, 2)
    factor, x, y = bottoms
    if factor[:2] != x[:2] or any(size != 1 for size in factor[2:]):
        raise fail(
            layer,
            f"its shape {text(factor)} is not one factor for each channel of {text(x)}",
            blob=layer.bottoms[0],
        )
    if y != x:
        raise fail(layer, f"its shape {text(y)} is not {text(x)}", blob=layer.bottoms[2])
    return LayerShapes([x])
