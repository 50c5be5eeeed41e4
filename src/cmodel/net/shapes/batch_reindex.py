"""BatchReindex."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops


def batch_reindex(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as the first bottom, with as many images as the second lists."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 1)
    return LayerShapes([(prod(bottoms[1]), *bottoms[0][1:])])
