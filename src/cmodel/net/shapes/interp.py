"""Interp of DeepLab and PSPNet."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    expect_bottoms,
    expect_rank,
    expect_tops,
    fail,
    positive,
    text,
)


def interp(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (N, C, out...): sizes by a factor, as stated, or those of a second bottom."""
    expect_bottoms(layer, bottoms, 1, 2)
    expect_tops(layer, 1)
    for i in range(len(bottoms)):
        expect_rank(layer, bottoms, i, 4, 4)
    param = layer.param.interp_param
    if param.pad_beg > 0 or param.pad_end > 0:
        raise fail(layer, "pad_beg and pad_end cut rows and columns off: they must not be above 0")
    inside = [size + param.pad_beg + param.pad_end for size in bottoms[0][2:]]
    if min(inside) < 1:
        raise fail(
            layer,
            f"pad_beg and pad_end leave nothing of {text(bottoms[0])}",
            blob=layer.bottoms[0],
        )
    shrink = positive(layer, param.shrink_factor, "shrink_factor")
    zoom = positive(layer, param.zoom_factor, "zoom_factor")
    shrinks, zooms = param.HasField("shrink_factor"), param.HasField("zoom_factor")
    sized = param.HasField("height") and param.HasField("width")
    if len(bottoms) == 2:
        sizes = list(bottoms[1][2:])
    elif sized and shrinks == zooms:
        sizes = [positive(layer, param.height, "height"), positive(layer, param.width, "width")]
    elif shrinks or zooms:
        sizes = [((size - 1) // shrink) * zoom + 1 for size in inside]
    else:
        raise fail(layer, "it takes height and width, zoom_factor or shrink_factor")
    return LayerShapes([(*bottoms[0][:2], *sizes)])
