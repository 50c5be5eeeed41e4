"""Split, Silence and HDF5Output."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_tops


def split(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Every top as the bottom."""
    expect_bottoms(layer, bottoms, 1)
    return LayerShapes([bottoms[0]] * len(layer.tops))


def sink(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """No tops: Silence, and HDF5Output, whose file is not written here."""
    expect_tops(layer, 0)
    return LayerShapes([])
