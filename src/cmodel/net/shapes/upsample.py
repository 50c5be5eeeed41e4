"""Upsample: of YOLO (by repetition) and of SegNet (by the positions of the maxima)."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    expect_bottoms,
    expect_rank,
    expect_same,
    expect_tops,
    positive,
)


def upsample_scale(layer: Layer, bottoms: int) -> tuple[int, int]:
    """Return how many times larger height and width become."""
    param = layer.param.upsample_param
    # The forks differ in their default.
    both = param.scale if param.HasField("scale") else bottoms
    scales = [
        getattr(param, name) if param.HasField(name) else both for name in ("scale_h", "scale_w")
    ]
    return positive(layer, scales[0], "scale"), positive(layer, scales[1], "scale")


def upsample(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (N, C, scale * H, scale * W); with a second bottom, the positions, other sizes too."""
    expect_bottoms(layer, bottoms, 1, 2)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 4, 4)
    expect_same(layer, bottoms)
    param = layer.param.upsample_param
    scales = upsample_scale(layer, len(bottoms))
    height, width = (size * scale for size, scale in zip(bottoms[0][2:], scales, strict=True))
    if len(bottoms) == 2:
        # The pooling that made the positions had dropped a part of its last window.
        height = param.upsample_h if param.HasField("upsample_h") else height - param.pad_out_h
        width = param.upsample_w if param.HasField("upsample_w") else width - param.pad_out_w
    return LayerShapes([(*bottoms[0][:2], height, width)])
