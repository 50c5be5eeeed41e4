"""Reorg of YOLO."""

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


def reorg(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (N, C s s, H / s, W / s), or (N, C / s / s, H s, W s) in reverse."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 4, 4)
    param = layer.param.reorg_param
    stride = positive(layer, param.stride, "stride")
    images, channels, height, width = bottoms[0]
    # The values of the image are read as if it had a stride x stride part of the channels.
    if channels % (stride * stride) or (not param.reverse and (height % stride or width % stride)):
        raise fail(
            layer,
            f"stride {stride} does not go with the shape {text(bottoms[0])}",
            blob=layer.bottoms[0],
        )
    if param.reverse:
        top = (images, channels // (stride * stride), height * stride, width * stride)
    else:
        top = (images, channels * stride * stride, height // stride, width // stride)
    return LayerShapes([top])
