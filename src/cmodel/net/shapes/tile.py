"""Tile."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    canonical_axis,
    expect_bottoms,
    expect_tops,
    positive,
)


def tile(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top with the axis repeated `tiles` times."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    bottom, param = bottoms[0], layer.param.tile_param
    axis = canonical_axis(layer, param.axis, len(bottom))
    tiles = positive(layer, param.tiles, "tiles")
    return LayerShapes([(*bottom[:axis], bottom[axis] * tiles, *bottom[axis + 1 :])])
