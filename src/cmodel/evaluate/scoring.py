"""The scores of many images at once, to be compared with another net's."""

from __future__ import annotations

from math import prod

import numpy as np

from cmodel.data import FloatArray, Inputs
from cmodel.errors import DataError, LimitError, UsageError
from cmodel.evaluate.accuracy import Progress
from cmodel.evaluate.runner import Runner, scores_of
from cmodel.net import Net, Shape, infer_shapes

# More images than fit into this say no more than a sample of them.
MAX_BYTES = 2 << 30
# A batch makes blobs of about so many bytes.
_BATCH_BYTES = 128 << 20
_MAX_BATCH = 500


def moderate_batch(net: Net, input_blob: str, shape: Shape | None = None) -> int:
    """Return how many images to run at a time so that all blobs together have a moderate size.

    shape : of the input, (N,C,H,W), where the net declares none.
    """
    shape = net.inputs[input_blob] or shape
    shapes = infer_shapes(net, {input_blob: shape})
    sizes = [prod(blob) for blob in shapes.blobs.values() if blob is not None]
    each = 4 * sum(sizes) // max(shape[0] if shape else 1, 1)
    return min(max(_BATCH_BYTES // max(each, 1), 1), _MAX_BATCH)


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
