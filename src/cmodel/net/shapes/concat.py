"""Concat, with the legacy `concat_dim`."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, canonical_axis, expect_tops, fail, text


def concat_axis(layer: Layer, rank: int) -> int:
    """Return the axis along which the bottoms are joined."""
    param = layer.param.concat_param
    if param.HasField("concat_dim"):
        if param.HasField("axis"):
            raise fail(layer, "axis and concat_dim exclude each other")
        return canonical_axis(layer, param.concat_dim, rank, "concat_dim")
    return canonical_axis(layer, param.axis, rank)


def concat(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as the bottoms, their sizes along the axis added."""
    expect_tops(layer, 1)
    if not bottoms:
        raise fail(layer, "the layer has no bottom blobs")
    first = bottoms[0]
    axis = concat_axis(layer, len(first))
    for name, shape in zip(layer.bottoms, bottoms, strict=True):
        if len(shape) != len(first) or (
            shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]
        ):
            raise fail(
                layer,
                f"its shape {text(shape)} does not join {text(first)} along axis {axis}",
                blob=name,
            )
    total = sum(shape[axis] for shape in bottoms)
    return LayerShapes([(*first[:axis], total, *first[axis + 1 :])])
