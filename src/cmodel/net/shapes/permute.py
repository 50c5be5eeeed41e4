"""Permute of SSD."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_tops, fail


def permute_order(layer: Layer, rank: int) -> Shape:
    """Return for each axis of the top the bottom's axis; those not named follow in order."""
    order = list(layer.param.permute_param.order)
    for axis in order:
        if axis >= rank:
            raise fail(layer, f"order names axis {axis} of a blob of {rank} axes")
    if len(set(order)) != len(order):
        raise fail(layer, f"order {order} names an axis twice")
    return (*order, *(axis for axis in range(rank) if axis not in order))


def permute(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top with the bottom's axes in another order."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    return LayerShapes([tuple(bottoms[0][axis] for axis in permute_order(layer, len(bottoms[0])))])
