"""Accuracy and the losses: a scalar from predictions and labels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    canonical_axis,
    expect_bottoms,
    expect_rank,
    expect_tops,
    fail,
    text,
)


def _expect_labels(layer: Layer, bottoms: Sequence[Shape], axis: int) -> None:
    places = prod(bottoms[0][:axis]) * prod(bottoms[0][axis + 1 :])
    if prod(bottoms[1]) != places:
        raise fail(
            layer,
            f"{prod(bottoms[1]):,} labels ({text(bottoms[1])}) for {places:,} predictions",
            blob=layer.bottoms[1],
        )


def accuracy(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top is a scalar; a second one (C,) has the accuracy of each class."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 1, 2)
    param = layer.param.accuracy_param
    axis = canonical_axis(layer, param.axis, len(bottoms[0]))
    _expect_labels(layer, bottoms, axis)
    classes = bottoms[0][axis]
    if not 1 <= param.top_k <= classes:
        raise fail(layer, f"top_k {param.top_k} is not between 1 and the {classes} classes")
    return LayerShapes([(), (classes,)][: len(layer.tops)])


def softmax_loss(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top is a scalar; a second one has the probabilities."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 0, 2)
    axis = canonical_axis(layer, layer.param.softmax_param.axis, len(bottoms[0]))
    _expect_labels(layer, bottoms, axis)
    return LayerShapes([(), bottoms[0]][: len(layer.tops)])


def infogain_loss(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top is a scalar, a second one has the probabilities; a third bottom is the matrix (C, C)."""
    expect_bottoms(layer, bottoms, 2, 3)
    expect_tops(layer, 0, 2)
    axis = canonical_axis(layer, layer.param.infogain_loss_param.axis, len(bottoms[0]))
    _expect_labels(layer, bottoms, axis)
    classes = bottoms[0][axis]
    if len(bottoms) == 3 and (
        bottoms[2][-2:] != (classes, classes) or prod(bottoms[2]) != classes**2
    ):
        raise fail(
            layer, f"its shape {text(bottoms[2])} is not {classes}x{classes}", blob=layer.bottoms[2]
        )
    return LayerShapes([(), bottoms[0]][: len(layer.tops)])


def hinge_loss(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top is a scalar; one label for each row."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 0, 1)
    expect_rank(layer, bottoms, 0, 1)
    if prod(bottoms[1]) != bottoms[0][0]:
        raise fail(
            layer, f"{prod(bottoms[1])} labels for {bottoms[0][0]} rows", blob=layer.bottoms[1]
        )
    return LayerShapes([()][: len(layer.tops)])


def pairwise_loss(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top is a scalar; the two bottoms have the same number of elements."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 0, 1)
    if prod(bottoms[0]) != prod(bottoms[1]):
        raise fail(
            layer,
            f"its {prod(bottoms[1])} elements do not pair with {prod(bottoms[0])}",
            blob=layer.bottoms[1],
        )
    return LayerShapes([()][: len(layer.tops)])


def contrastive_loss(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top is a scalar; the bottoms are two (N, C) and N similarities."""
    expect_bottoms(layer, bottoms, 3)
    expect_tops(layer, 0, 1)
    expect_rank(layer, bottoms, 0, 2)
    if bottoms[0] != bottoms[1] or prod(bottoms[0][2:]) != 1:
        raise fail(layer, f"{text(bottoms[0])} and {text(bottoms[1])} are not two blobs of N x C")
    if prod(bottoms[2]) != bottoms[0][0]:
        raise fail(
            layer, f"{prod(bottoms[2])} labels for {bottoms[0][0]} pairs", blob=layer.bottoms[2]
        )
    return LayerShapes([()][: len(layer.tops)])
