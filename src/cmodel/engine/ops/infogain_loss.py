"""InfogainLoss: a cross entropy weighted by a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.accuracy import by_place, labels_of
from cmodel.engine.ops.multinomial_logistic_loss import LEAST
from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.engine.ops.softmax_with_loss import normalizer
from cmodel.errors import UnsupportedError
from cmodel.net import Layer, Parameter, Shape


class InfogainLoss(Op):
    """-sum over the classes of the label's row of the matrix times log of the probabilities."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        if len(layer.bottoms) < 3:
            raise UnsupportedError(
                "an InfogainLoss whose matrix stands in a file",
                where=f"layer `{layer.key}` (InfogainLoss)",
                hint="give the matrix as a third bottom",
            )

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axis of the classes."""
        axis = self.layer.param.infogain_loss_param.axis % len(bottoms[0])
        param = self.layer.param.loss_param
        ignored = param.ignore_label if param.HasField("ignore_label") else None
        outer = prod(bottoms[0][:axis])

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            scores = bottoms[0]
            classes = scores.shape[axis]
            labels = labels_of(self.layer, bottoms[1], classes, ignored)
            odds = np.exp(scores - scores.max(axis=axis, keepdims=True))
            odds /= odds.sum(axis=axis, keepdims=True)
            valid = np.ones(labels.size, bool) if ignored is None else labels != ignored
            logs = np.log(np.maximum(by_place(odds, axis)[valid], LEAST)).astype(np.float64)
            total = -(bottoms[2].reshape(classes, classes)[labels[valid]] * logs).sum()
            if tops:
                tops[0].fill(total / normalizer(self.layer, outer, labels.size, int(valid.sum())))
            if len(tops) > 1:
                np.copyto(tops[1], odds)

        return kernel
