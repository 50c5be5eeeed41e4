"""DetectionOutput of SSD."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

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

# Image, class, confidence and the four corners of a box.
ROW = 7


def detection_output(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (1, 1, detections, 7); how many there are only the values tell: one stands for them.

    Bottoms: offsets (N, boxes * 4), for each class where locations are not shared; confidences
    (N, boxes * classes); boxes and variances (1, 2, boxes * 4).
    """
    expect_bottoms(layer, bottoms, 3)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 2)
    expect_rank(layer, bottoms, 2, 3)
    param = layer.param.detection_output_param
    classes = positive(layer, param.num_classes, "num_classes")
    locations, confidences, priors = bottoms
    boxes, rest = divmod(priors[2], 4)
    if priors[1] != 2 or rest or prod(priors[3:]) != 1 or priors[0] != 1:
        raise fail(layer, f"its shape {text(priors)} is not 1x2x(4 boxes)", blob=layer.bottoms[2])
    wanted = [boxes * 4 * (1 if param.share_location else classes), boxes * classes]
    for i, (shape, size) in enumerate(zip((locations, confidences), wanted, strict=True)):
        if prod(shape[1:]) != size or shape[0] != locations[0]:
            raise fail(
                layer,
                f"its shape {text(shape)} is not {locations[0]}x{size}, for {boxes} boxes and "
                f"{classes} classes",
                blob=layer.bottoms[i],
            )
    return LayerShapes([(1, 1, 1, ROW)])
