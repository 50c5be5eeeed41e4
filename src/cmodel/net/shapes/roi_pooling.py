"""ROIPooling of Fast R-CNN."""

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


def roi_pooling(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (R, C, pooled_h, pooled_w) from x (N, C, H, W) and R regions: image and corners."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 4, 4)
    param = layer.param.roi_pooling_param
    height = positive(layer, param.pooled_h, "pooled_h")
    width = positive(layer, param.pooled_w, "pooled_w")
    regions = bottoms[1]
    if regions[1:] not in ((5,), (5, 1, 1)):
        raise fail(
            layer,
            f"its shape {text(regions)} is not one row of 5 for each region",
            blob=layer.bottoms[1],
        )
    return LayerShapes([(regions[0], bottoms[0][1], height, width)])
