"""The scores of many images at once, to be compared with another net's."""

from __future__ import annotations

import numpy as np

from cmodel.data import FloatArray, Inputs
from cmodel.errors import DataError, LimitError, UsageError
from cmodel.evaluate.accuracy import Progress
from cmodel.evaluate.runner import Runner, scores_of

# More images than fit into this say no more than a sample of them.
MAX_BYTES = 2 << 30


def outputs(
    engine: Runner,
    inputs: FloatArray | Inputs,
    *,
    input_blob: str,
    output_blob: str,
    batch: int = 64,
    on_progress: Progress | None = None,
) -> FloatArray:
    """Run a net over images and return its scores, float32 (N, classes).

    Parameters
    ----------
    inputs : the images as they are fed, (N,C,H,W), run `batch` at a time; or `Inputs`, which reads
        them in batches of its own.
    on_progress : called with the images done and their total.

    Raises
    ------
    DataError : there are no images, they do not fit the net, or the blob holds no scores.
    LimitError : the scores would take more than MAX_BYTES.
    """
    if batch < 1:
        raise UsageError(f"a batch has at least one image, not {batch}")
    if isinstance(inputs, Inputs):
        total = len(inputs.indices)
        parts = iter(inputs)
    else:
        total = len(inputs)
        parts = (inputs[start : start + batch] for start in range(0, total, batch))
    if total == 0:
        raise DataError("there are no images to run")
    scores: FloatArray | None = None
    done = 0
    for x in parts:
        part = scores_of(engine, input_blob, output_blob, x)
        if scores is None:
            if 4 * total * part.shape[1] > MAX_BYTES:
                raise LimitError(
                    f"the scores of {total} images in {part.shape[1]} classes are too many to hold",
                    hint="use fewer images",
                )
            scores = np.empty((total, part.shape[1]), np.float32)
        scores[done : done + len(part)] = part
        done += len(part)
        if on_progress is not None:
            on_progress(done, total)
    if scores is None or done != total:
        raise DataError(f"{done} images came where {total} were announced")
    return scores
