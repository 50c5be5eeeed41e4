"""Crop."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, canonical_axis, expect_bottoms, expect_tops, fail


def crop_offsets(layer: Layer, bottoms: Sequence[Shape]) -> Shape:
    """Return where the crop starts, for each axis of the first bottom."""
    param = layer.param.crop_param
    rank = len(bottoms[0])
    axis = canonical_axis(layer, param.axis, rank)
    offsets = list(param.offset) or [0]
    if len(offsets) not in (1, rank - axis):
        raise fail(layer, f"{len(offsets)} offsets for {rank - axis} cropped axes")
    if len(offsets) == 1:
        offsets *= rank - axis
    return (0,) * axis + tuple(offsets)


def crop(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top has the first bottom's sizes before `axis`, the second one's from there on."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 1)
    source, target = bottoms
    if len(source) != len(target):
        raise fail(layer, f"it has {len(target)} axes, not {len(source)}", blob=layer.bottoms[1])
    offsets = crop_offsets(layer, bottoms)
    axis = canonical_axis(layer, layer.param.crop_param.axis, len(source))
    top = (*source[:axis], *target[axis:])
    for i, (offset, size, whole) in enumerate(zip(offsets, top, source, strict=True)):
        if offset + size > whole:
            raise fail(
                layer,
                f"{size} entries from {offset} on exceed axis {i} of {whole}",
                blob=layer.bottoms[0],
            )
    return LayerShapes([top])
