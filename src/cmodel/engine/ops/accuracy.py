"""Accuracy: the fraction of the labels among the best predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.errors import DataError
from cmodel.net import Layer, Shape


def labels_of(layer: Layer, labels: Array, classes: int, ignored: int | None) -> NDArray[np.int64]:
    """Return the labels as integers, one for each place; DataError where one is no class."""
    whole = labels.reshape(-1).astype(np.int64)
    wrong = (whole < 0) | (whole >= classes)
    if ignored is not None:
        wrong &= whole != ignored
    if wrong.any():
        raise DataError(
            f"label {whole[wrong][0]} is none of the {classes} classes",
            where=f"layer `{layer.key}` ({layer.type}), blob `{layer.bottoms[1]}`",
        )
    return whole


def by_place(x: Array, axis: int) -> Array:
    """Return the scores as (places, classes)."""
    return np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])


class Accuracy(Op):
    """A label counts where fewer than `top_k` other classes score as high or higher."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axis of the classes."""
        param = self.layer.param.accuracy_param
        classes = bottoms[0][param.axis]
        ignored = param.ignore_label if param.HasField("ignore_label") else None

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            labels = labels_of(self.layer, bottoms[1], classes, ignored)
            scores = by_place(bottoms[0], param.axis)
            if ignored is not None:
                kept = labels != ignored
                labels, scores = labels[kept], scores[kept]
            own = np.take_along_axis(scores, labels[:, None], axis=1)
            hit = (scores >= own).sum(axis=1) - 1 < param.top_k
            tops[0].fill(hit.mean() if hit.size else 0)
            if len(tops) > 1:
                total = np.bincount(labels, minlength=classes)
                right = np.bincount(labels, weights=hit, minlength=classes)
                np.copyto(tops[1], right / np.maximum(total, 1), casting="same_kind")

        return kernel
