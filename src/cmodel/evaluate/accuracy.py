"""Top-1 and top-5 accuracy over a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from cmodel.data import FloatArray, IntArray, Source, batches, sample
from cmodel.errors import DataError
from cmodel.evaluate.runner import Runner, scores_of
from cmodel.net import InputTransform, Shape

BoolArray = NDArray[np.bool_]
Progress = Callable[[int, int], None]

TOP = 5


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Accuracy on the images of a source, and which of them were right.

    top1, top5 : percent; top5 is None where there are fewer than five classes.
    images, classes : their numbers.
    seconds : wall time, reading the images included; engine_seconds : of it, running the net.
    indices : (N,) of the images in the source, in the order of the arrays below.
    correct : bool (N,), whether each was right at top 1; correct5 the same at top 5, or None.
    """

    top1: float
    top5: float | None
    images: int
    classes: int
    seconds: float
    engine_seconds: float
    indices: IntArray
    correct: BoolArray
    correct5: BoolArray | None


def evaluate(
    engine: Runner,
    source: Source,
    transform: InputTransform,
    *,
    input_blob: str,
    output_blob: str,
    input_shape: Shape | None = None,
    batch: int = 64,
    limit: int | None = None,
    indices: IntArray | None = None,
    seed: int = 0,
    threads: int = 1,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Run labelled images through a net and count the right answers.

    Parameters
    ----------
    input_shape : the shape that the net declares for its input; its N does not matter.
    indices : the images to use; all of them if not given.
    limit, seed : use a seeded, stratified sample of at most `limit` of these.
    threads : that read and prepare images ahead.
    on_progress : called with the images done and their total.

    Raises
    ------
    DataError : no labels, a label that is not a class of the net, or images that do not fit it.
    """
    start = perf_counter()
    chosen = judged_images(source, indices=indices, limit=limit, seed=seed)
    found = ranked(
        engine,
        source,
        transform,
        chosen,
        input_blob=input_blob,
        output_blob=output_blob,
        input_shape=input_shape,
        batch=batch,
        threads=threads,
        on_progress=on_progress,
    )
    return evaluation_of([found], chosen, perf_counter() - start)


def judged_images(
    source: Source,
    *,
    indices: IntArray | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> IntArray:
    """Return the images that accuracy is measured on; parameters and errors as `evaluate`."""
    labels = source.labels
    if labels is None:
        raise DataError(
            "the images have no labels, accuracy needs them",
            where=str(source.path),
            hint="give a file of labels with `--labels`, a list of lines `path label`, a folder "
            "for each class, or `y` in the .npz",
        )
    if indices is None:
        indices = np.arange(len(source), dtype=np.int64)
    if limit is not None:
        indices = indices[sample(labels[indices], limit, seed)]
    if len(indices) == 0:
        raise DataError("there are no images to evaluate", where=str(source.path))
    return indices


@dataclass(frozen=True, eq=False)
class Ranked:
    """Where the right class stands in the scores of a range of images.

    ranks : int64 (N,), from 1 on, of the function `ranks`. classes : their number.
    engine_seconds : running the net.
    """

    ranks: IntArray
    classes: int
    engine_seconds: float


def ranked(
    engine: Runner,
    source: Source,
    transform: InputTransform,
    indices: IntArray,
    *,
    input_blob: str,
    output_blob: str,
    first: int = 0,
    last: int | None = None,
    input_shape: Shape | None = None,
    batch: int = 64,
    threads: int = 1,
    on_progress: Progress | None = None,
) -> Ranked:
    """Run the images `indices[first:last]` of all that are judged; errors as `evaluate`.

    Where ranges begin at whole batches, every image is in the batch that it would be in without
    ranges, and its scores are the same.
    """
    labels = source.labels
    if labels is None:
        raise DataError("the images have no labels", where=str(source.path))
    part = indices[first:last]
    engine_seconds = 0.0
    done = 0
    classes = 0
    # Entries that score at least as high as the label's, itself included.
    found = np.empty(len(part), dtype=np.int64)
    for x, _ in batches(source, part, transform, input_shape, batch, threads=threads):
        before = perf_counter()
        scores = scores_of(engine, input_blob, output_blob, x)
        engine_seconds += perf_counter() - before
        if not classes:
            classes = scores.shape[1]
            _check_labels(source, labels, indices, classes)
        found[done : done + len(x)] = ranks(scores, labels[part[done : done + len(x)]])
        done += len(x)
        if on_progress is not None:
            on_progress(done, len(part))
    return Ranked(found, classes, engine_seconds)


def evaluation_of(parts: Sequence[Ranked], indices: IntArray, seconds: float) -> Evaluation:
    """Put ranges together, in their order, that took so many seconds of wall time."""
    found = np.concatenate([part.ranks for part in parts])
    classes = parts[0].classes
    correct = found <= 1
    correct5 = found <= TOP if classes >= TOP else None
    return Evaluation(
        top1=_percent(correct),
        top5=None if correct5 is None else _percent(correct5),
        images=len(found),
        classes=classes,
        seconds=seconds,
        engine_seconds=sum(part.engine_seconds for part in parts),
        indices=indices,
        correct=correct,
        correct5=correct5,
    )


def ranks(scores: FloatArray, labels: IntArray) -> IntArray:
    """Return the rank of each label's score as Caffe's Accuracy counts: ties count against it.

    Scores with a NaN among them are an answer to nothing: ranked below every class.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    found: IntArray = (scores >= own).sum(axis=1, dtype=np.int64)
    found[np.isnan(scores).any(axis=1)] = scores.shape[1] + 1
    return found


def _check_labels(source: Source, labels: IntArray, indices: IntArray, classes: int) -> None:
    used = labels[indices]
    outside = np.flatnonzero((used < 0) | (used >= classes))
    if len(outside):
        index = int(indices[outside[0]])
        raise DataError(
            f"image `{source.names[index]}` has the label {labels[index]}, the net has {classes} "
            f"classes (0 to {classes - 1})",
            where=str(source.path),
            notes=(f"{len(outside)} of {len(used)} labels are outside",),
        )


def _percent(correct: BoolArray) -> float:
    return 100.0 * int(correct.sum()) / len(correct)
