"""Layers whose top has the shape of their only bottom, and no parameters."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_tops


def elementwise(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    return LayerShapes([bottoms[0]])
