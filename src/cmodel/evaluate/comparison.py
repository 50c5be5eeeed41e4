"""A changed net held against the original, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from cmodel.data import FloatArray, IntArray
from cmodel.errors import DataError
from cmodel.evaluate.accuracy import TOP, ranks

Doubles = NDArray[np.float64]

# A probability below this counts as this: float32 outputs round small ones to 0.
FLOOR = 1e-12
# By so much the sum of a row may miss 1 and the row still be one of probabilities.
SUM_TOLERANCE = 1e-3
# Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054
_BLOCK = 4096


@dataclass(frozen=True)
class Comparison:
    """How the scores of a changed net differ from the original's on the same images.

    images, classes : their numbers.
    kl : mean over the images of KL(original || changed) in nats; inf where the changed net's scores
        are not finite.
    agreement : percent of the images for which both name the same class.
    top1, top5 : accuracy of the changed net in percent; baseline, baseline5 : of the original. None
        without labels, the fives also where there are fewer than five classes.
    loss : baseline - top1, in points; interval : its 95 % confidence interval, paired.
    worse, better : images that only the original, or only the changed net, gets right.
    """

    images: int
    classes: int
    kl: float
    agreement: float
    top1: float | None = None
    top5: float | None = None
    baseline: float | None = None
    baseline5: float | None = None
    loss: float | None = None
    interval: tuple[float, float] | None = None
    worse: int | None = None
    better: int | None = None


def compare(
    reference: FloatArray, scores: FloatArray, labels: IntArray | None = None
) -> Comparison:
    """Compare the scores (N, classes) of a changed net with those of the original.

    Rows of the original that are probabilities (not negative, of sum 1) are taken as such in both;
    otherwise the softmax of the scores is. Accuracy counts as Caffe's: ties count against.

    Parameters
    ----------
    labels : int64 (N,); without them there is no accuracy, and agreement takes its place.

    Raises
    ------
    DataError : shapes that differ, fewer than two classes, no images, a label that is no class, or
        scores of the original that are not finite.
    """
    if reference.shape != scores.shape or reference.ndim != 2:
        raise DataError(
            f"scores of the shapes {reference.shape} and {scores.shape} cannot be compared",
            hint="both nets have to score the same images in the same classes",
        )
    images, classes = reference.shape
    if images == 0 or classes < 2:
        raise DataError(f"{images} images in {classes} classes leave nothing to compare")
    if not np.isfinite(reference).all():
        raise DataError("the original's scores are not all finite")
    finite = np.isfinite(scores).all(axis=1)
    same = (reference.argmax(axis=1) == scores.argmax(axis=1)) & ~np.isnan(scores).any(axis=1)
    kl = float(divergences(reference, scores).mean()) if finite.all() else inf
    agreement = _percent(same)
    if labels is None:
        return Comparison(images, classes, kl, agreement)
    _check_labels(labels, images, classes)
    before, after = ranks(reference, labels), ranks(scores, labels)
    worse = int(((before <= 1) & (after > 1)).sum())
    better = int(((before > 1) & (after <= 1)).sum())
    low, high = paired_interval(worse, better, images)
    five = classes >= TOP
    return Comparison(
        images,
        classes,
        kl,
        agreement,
        top1=_percent(after <= 1),
        top5=_percent(after <= TOP) if five else None,
        baseline=_percent(before <= 1),
        baseline5=_percent(before <= TOP) if five else None,
        loss=100.0 * (worse - better) / images,
        interval=(100.0 * low, 100.0 * high),
        worse=worse,
        better=better,
    )


def divergences(reference: FloatArray, scores: FloatArray) -> Doubles:
    """Return KL(reference || scores) of each row in nats, float64 (N,); both are finite."""
    given = is_probability(reference)
    found = np.empty(len(reference))
    for start in range(0, len(reference), _BLOCK):
        part = slice(start, start + _BLOCK)
        p, log_p = _distribution(reference[part], given)
        _, log_q = _distribution(scores[part], given)
        found[part] = (p * (log_p - log_q)).sum(axis=1)
    # Rounding alone takes it below zero.
    return np.maximum(found, 0.0)


def is_probability(scores: FloatArray) -> bool:
    """Whether every row is a probability vector: nothing negative, of sum 1."""
    sums = scores.sum(axis=1, dtype=np.float64)
    return bool((scores >= 0).all() and (np.abs(sums - 1.0) <= SUM_TOLERANCE).all())


def paired_interval(worse: int, better: int, images: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two paired proportions, (worse - better) / n.

    Tango's score interval (Statistics in Medicine 17, 1998): the differences that McNemar's
    statistic, generalised to them, does not reject. It has a width where no image changed sides.
    """
    n = images
    estimate = (worse - better) / n

    def rejected(delta: float) -> bool:
        # The maximum likelihood estimate of P(better) under this difference.
        b = (2 * n - worse + better) * delta - worse - better
        c = -better * delta * (1.0 - delta)
        q = (sqrt(max(b * b - 8.0 * n * c, 0.0)) - b) / (4.0 * n)
        variance = n * (2.0 * q + delta * (1.0 - delta))
        return (worse - better - n * delta) ** 2 > Z95 * Z95 * max(variance, 0.0)

    def end(outside: float) -> float:
        if not rejected(outside):
            return outside
        inside = estimate
        for _ in range(60):
            middle = (inside + outside) / 2
            if rejected(middle):
                outside = middle
            else:
                inside = middle
        return inside

    return end(-1.0), end(1.0)


def _distribution(scores: FloatArray, given: bool) -> tuple[Doubles, Doubles]:
    """Return probabilities and their logarithms, by row."""
    values = scores.astype(np.float64)
    if given:
        p = np.maximum(values, FLOOR)
        p /= p.sum(axis=1, keepdims=True)
        return p, np.log(p)
    values -= values.max(axis=1, keepdims=True)
    log_p = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return np.exp(log_p), log_p


def _check_labels(labels: IntArray, images: int, classes: int) -> None:
    if labels.shape != (images,):
        raise DataError(f"{images} images but labels of the shape {labels.shape}")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise DataError(
            f"image {outside[0]} has the label {labels[outside[0]]}, the net has {classes} classes "
            f"(0 to {classes - 1})",
            notes=(f"{len(outside)} of {images} labels are outside",),
        )


def _percent(right: NDArray[np.bool_]) -> float:
    return 100.0 * int(right.sum()) / len(right)
