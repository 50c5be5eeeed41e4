"""BN: batch normalisation with an affine part, of two forks."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops


def is_segnet(layer: Layer) -> bool:
    """Whether it is SegNet's layer of this name, by the fields that only that one has."""
    param = layer.param.bn_param
    return any(param.HasField(name) for name in ("bn_mode", "scale_filler", "shift_filler"))


def bn(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as bottom; parameters (1, C, 1, 1) are slope, bias, mean, variance.

    SegNet's layer has scale and shift only.
    """
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 2)
    parameters = 2 if is_segnet(layer) else 4
    return LayerShapes([bottoms[0]], [(1, bottoms[0][1], 1, 1)] * parameters)
