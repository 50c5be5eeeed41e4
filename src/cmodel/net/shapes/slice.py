"""Slice, with the legacy `slice_dim`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, canonical_axis, expect_bottoms, fail


def slice_axis(layer: Layer, rank: int) -> int:
    """Return the axis along which the bottom is cut."""
    param = layer.param.slice_param
    if param.HasField("slice_dim"):
        if param.HasField("axis"):
            raise fail(layer, "axis and slice_dim exclude each other")
        return canonical_axis(layer, param.slice_dim, rank, "slice_dim")
    return canonical_axis(layer, param.axis, rank)


def slice_(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """One top for each part."""
    expect_bottoms(layer, bottoms, 1)
    bottom = bottoms[0]
    axis = slice_axis(layer, len(bottom))
    points = list(layer.param.slice_param.slice_point)
    tops = len(layer.tops)
    if not tops:
        raise fail(layer, "the layer has no top blobs")
    if points:
        if len(points) != tops - 1:
            raise fail(layer, f"{len(points)} slice points make {len(points) + 1} tops, not {tops}")
        ends = [0, *points, bottom[axis]]
        sizes = [end - start for start, end in pairwise(ends)]
        if min(sizes) < 1:
            raise fail(
                layer,
                f"slice points {points} do not rise within the {bottom[axis]} entries "
                f"of axis {axis}",
                blob=layer.bottoms[0],
            )
    else:
        if bottom[axis] % tops:
            raise fail(
                layer,
                f"{bottom[axis]} entries of axis {axis} do not divide into {tops} tops",
                blob=layer.bottoms[0],
            )
        sizes = [bottom[axis] // tops] * tops
    return LayerShapes([(*bottom[:axis], size, *bottom[axis + 1 :]) for size in sizes])
