"""Accuracy and the losses."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cmodel.engine.reference.registry import Call, Doubles, register, sigmoid, softmax
from cmodel.net import Layer, Shape
from cmodel.proto import caffe_pb2


def _labelled(scores: Doubles, labels: Doubles, axis: int) -> tuple[Doubles, NDArray[np.int64]]:
    """Return the scores as one row for each label."""
    rows = np.moveaxis(scores, axis, -1)
    return rows.reshape(-1, rows.shape[-1]), labels.ravel().astype(np.int64)


def _ignored(layer: Layer, label: int) -> bool:
    param = layer.param.loss_param
    return param.HasField("ignore_label") and label == param.ignore_label


def _divisor(layer: Layer, places: int, valid: int, outer: Shape) -> int:
    """Return what a loss is divided by; `outer` are the axes before that of the classes."""
    param, kinds = layer.param.loss_param, caffe_pb2.LossParameter
    mode = param.normalization
    if param.HasField("normalize") and not param.HasField("normalization"):
        mode = kinds.VALID if param.normalize else kinds.BATCH_SIZE
    count = {
        kinds.FULL: places,
        kinds.VALID: valid,
        kinds.BATCH_SIZE: math.prod(outer),
        kinds.NONE: 1,
    }[mode]
    return max(count, 1)


@register("Accuracy")
def _accuracy(call: Call) -> list[Doubles]:
    param = call.layer.param.accuracy_param
    rows, labels = _labelled(call.bottoms[0], call.bottoms[1], param.axis)
    hits: list[list[int]] = [[] for _ in range(rows.shape[1])]
    for row, label in zip(rows, labels, strict=True):
        if not param.HasField("ignore_label") or label != param.ignore_label:
            better = sum(score >= row[label] for score in row) - 1
            hits[label].append(better < param.top_k)
    everything = [hit for row in hits for hit in row]
    classes = [sum(hit) / max(len(hit), 1) for hit in hits]
    overall = sum(everything) / max(len(everything), 1)
    return [np.array(overall), np.array(classes)][: len(call.tops)]


@register("SoftmaxWithLoss")
def _softmax_loss(call: Call) -> list[Doubles]:
    axis = call.layer.param.softmax_param.axis % call.bottoms[0].ndim
    odds = softmax(call.bottoms[0], axis)
    rows, labels = _labelled(odds, call.bottoms[1], axis)
    losses = [
        -math.log(max(row[label], float(np.finfo(np.float32).tiny)))
        for row, label in zip(rows, labels, strict=True)
        if not _ignored(call.layer, label)
    ]
    count = _divisor(call.layer, len(rows), len(losses), call.bottoms[0].shape[:axis])
    return [np.array(sum(losses) / count), odds][: len(call.tops)]


@register("SigmoidCrossEntropyLoss")
def _cross_entropy(call: Call) -> list[Doubles]:
    param, kinds = call.layer.param.loss_param, caffe_pb2.LossParameter
    x, target = call.bottoms[0].ravel(), call.bottoms[1].ravel()
    odds = sigmoid(x)
    losses = [
        -t * math.log(p) - (1 - t) * math.log(1 - p)
        for p, t in zip(odds, target, strict=True)
        if not param.HasField("ignore_label") or int(t) != param.ignore_label
    ]
    mode = kinds.BATCH_SIZE
    if param.HasField("normalization"):
        mode = param.normalization
    elif param.HasField("normalize") and param.normalize:
        mode = kinds.VALID
    count = {
        kinds.FULL: x.size,
        kinds.VALID: len(losses),
        kinds.BATCH_SIZE: len(call.bottoms[0]),
        kinds.NONE: 1,
    }[mode]
    return [np.array(sum(losses) / max(count, 1))][: len(call.tops)]


@register("HingeLoss")
def _hinge_loss(call: Call) -> list[Doubles]:
    power = 2 if call.layer.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2 else 1
    rows, labels = call.bottoms[0].reshape(len(call.bottoms[0]), -1), call.bottoms[1].ravel()
    total = 0.0
    for row, label in zip(rows, labels, strict=True):
        for i, value in enumerate(row):
            total += max(0.0, 1 - value if i == label else 1 + value) ** power
    return [np.array(total / len(rows))][: len(call.tops)]


@register("EuclideanLoss")
def _euclidean_loss(call: Call) -> list[Doubles]:
    distance = ((call.bottoms[0].ravel() - call.bottoms[1].ravel()) ** 2).sum()
    return [np.array(distance / (2 * len(call.bottoms[0])))][: len(call.tops)]


@register("ContrastiveLoss")
def _contrastive_loss(call: Call) -> list[Doubles]:
    param = call.layer.param.contrastive_loss_param
    total = 0.0
    for a, b, similar in zip(
        call.bottoms[0], call.bottoms[1], call.bottoms[2].ravel(), strict=True
    ):
        squared = float(((a - b) ** 2).sum())
        if similar:
            total += squared
        elif param.legacy_version:
            total += max(param.margin - squared, 0)
        else:
            total += max(param.margin - math.sqrt(squared), 0) ** 2
    return [np.array(total / (2 * len(call.bottoms[0])))][: len(call.tops)]


@register("MultinomialLogisticLoss")
def _multinomial_loss(call: Call) -> list[Doubles]:
    rows, labels = call.bottoms[0].reshape(len(call.bottoms[0]), -1), call.bottoms[1].ravel()
    losses = [
        -math.log(max(row[int(label)], 1e-20)) for row, label in zip(rows, labels, strict=True)
    ]
    return [np.array(sum(losses) / len(rows))][: len(call.tops)]


@register("InfogainLoss")
def _infogain_loss(call: Call) -> list[Doubles]:
    axis = call.layer.param.infogain_loss_param.axis % call.bottoms[0].ndim
    odds = softmax(call.bottoms[0], axis)
    rows, labels = _labelled(odds, call.bottoms[1], axis)
    matrix = call.bottoms[2].reshape(rows.shape[1], rows.shape[1])
    losses = [
        -sum(weight * math.log(max(p, 1e-20)) for weight, p in zip(matrix[label], row, strict=True))
        for row, label in zip(rows, labels, strict=True)
        if not _ignored(call.layer, label)
    ]
    count = _divisor(call.layer, len(rows), len(losses), call.bottoms[0].shape[:axis])
    return [np.array(sum(losses) / count), odds][: len(call.tops)]
