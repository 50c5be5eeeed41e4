"""SoftmaxWithLoss: the mean cross entropy of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.accuracy import by_place, labels_of
from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Layer, Shape
from cmodel.proto import caffe_pb2

SMALLEST = np.finfo(np.float32).tiny


def normalizer(layer: Layer, outer: int, places: int, valid: int) -> float:
    """Return what a loss is divided by: `outer` images of `places` in all, `valid` not ignored."""
    param = layer.param.loss_param
    mode = param.normalization
    if not param.HasField("normalization") and param.HasField("normalize"):
        kinds = caffe_pb2.LossParameter
        mode = kinds.VALID if param.normalize else kinds.BATCH_SIZE
    sizes = {
        caffe_pb2.LossParameter.FULL: places,
        caffe_pb2.LossParameter.VALID: valid,
        caffe_pb2.LossParameter.BATCH_SIZE: outer,
        caffe_pb2.LossParameter.NONE: 1,
    }
    return max(1, sizes[mode])


class SoftmaxWithLoss(Op):
    """-log of the label's probability, summed and normalised."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axis of the classes."""
        axis = self.layer.param.softmax_param.axis % len(bottoms[0])
        param = self.layer.param.loss_param
        ignored = param.ignore_label if param.HasField("ignore_label") else None
        outer = prod(bottoms[0][:axis])

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            scores = bottoms[0]
            labels = labels_of(self.layer, bottoms[1], scores.shape[axis], ignored)
            odds = np.exp(scores - scores.max(axis=axis, keepdims=True))
            odds /= odds.sum(axis=axis, keepdims=True)
            valid = np.ones(labels.size, bool) if ignored is None else labels != ignored
            own = by_place(odds, axis)[valid, labels[valid]]
            total = -np.log(np.maximum(own, SMALLEST)).sum(dtype=np.float64)
            if tops:
                tops[0].fill(total / normalizer(self.layer, outer, labels.size, int(valid.sum())))
            if len(tops) > 1:
                np.copyto(tops[1], odds)

        return kernel
