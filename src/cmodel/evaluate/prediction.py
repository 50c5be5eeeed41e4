"""The best classes for single images."""

from __future__ import annotations

import numpy as np

from cmodel.data import Items, prepare
from cmodel.errors import UsageError
from cmodel.evaluate.runner import Runner, scores_of
from cmodel.net import InputTransform, Shape

Prediction = tuple[int, float]


def predict(
    engine: Runner,
    items: Items,
    transform: InputTransform,
    *,
    input_blob: str,
    output_blob: str,
    input_shape: Shape | None = None,
    top: int = 5,
    names: tuple[str, ...] = (),
    planes: bool = False,
) -> list[list[Prediction]]:
    """Return for each item its `top` best (class index, score), the best first.

    All items are run as one batch. Of equal scores the lower class comes first, NaN comes last.
    There are fewer than `top` where the net has fewer classes. `names` are for the errors,
    `planes` is as in `cmodel.data.prepare`.
    """
    if top < 1:
        raise UsageError(f"the number of classes to show is at least 1, not {top}")
    if len(items) == 0:
        return []
    x = prepare(items, transform, input_shape, names, planes=planes)
    scores = scores_of(engine, input_blob, output_blob, x)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(int(c), float(row[c])) for c in order] for row, order in zip(scores, best, strict=True)
    ]
