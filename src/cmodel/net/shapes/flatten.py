"""Flatten."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, canonical_axis, expect_bottoms, expect_tops, fail


def flatten(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top with the axes from `axis` to `end_axis` made one."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    bottom = bottoms[0]
    start = canonical_axis(layer, layer.param.flatten_param.axis, len(bottom))
    end = canonical_axis(layer, layer.param.flatten_param.end_axis, len(bottom), "end_axis")
    if start > end:
        raise fail(layer, f"end_axis {end} comes before axis {start}")
    return LayerShapes([(*bottom[:start], prod(bottom[start : end + 1]), *bottom[end + 1 :])])
