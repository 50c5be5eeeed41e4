"""Biclustering of a convolution's weights (N, C, kh, kw): low rank for each pair of clusters.

E. Denton, W. Zaremba, J. Bruna, Y. LeCun, R. Fergus, "Exploiting Linear Structure Within
Convolutional Networks for Efficient Evaluation", 2014, section 3.3.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.decompositions import Chain, Part, tucker
from cmodel.compress.matrix import Doubles

Numbers = NDArray[np.intp]


def biclustered(
    weights: Doubles,
    clusters: int,
    ranks: tuple[int, int] | None,
    ratio: float,
    iterations: int,
    rng: np.random.Generator,
) -> Chain:
    """Return 1 x 1, kh x kw in clusters² groups, 1 x 1; the outer two are sparse.

    clusters : of the input channels, and as many of the outputs; sizes differ by one at most.
    ranks : of each pair of clusters, (towards the output, towards the input).
    ratio : of the weights that the chain may have, where no ranks are given.
    """
    outputs, channels, height, width = weights.shape
    if ranks is None:
        ranks = _ranks(weights.shape, clusters, ratio)
    inward = balanced(weights.swapaxes(0, 1).reshape(channels, -1), clusters, iterations, rng)
    outward = balanced(weights.reshape(outputs, -1), clusters, iterations, rng)
    groups = clusters * clusters
    first = np.zeros((groups, ranks[1], channels))
    core = np.zeros((groups, ranks[0], ranks[1], height, width))
    last = np.zeros((outputs, groups, ranks[0]))
    for group in range(groups):
        taken, given = divmod(group, clusters)
        columns, rows = np.flatnonzero(inward == taken), np.flatnonzero(outward == given)
        block = weights[np.ix_(rows, columns)]
        ahead, middle, behind = tucker(block, ranks, None, None, iterations).parts
        # Fewer where the block itself has fewer.
        out, into = middle.weights.shape[:2]
        first[group, :into][:, columns] = ahead.weights[:, :, 0, 0]
        core[group, :out, :into] = middle.weights
        last[rows, group, :out] = behind.weights[:, :, 0, 0]
    parts = [
        Part(first.reshape(-1, channels, 1, 1), (), "_in", sparse=True),
        Part(core.reshape(-1, ranks[1], height, width), (0, 1), "_core", groups=groups),
        Part(last.reshape(outputs, -1, 1, 1), (), "_out", sparse=True),
    ]
    return Chain(parts)


def balanced(points: Doubles, clusters: int, iterations: int, rng: np.random.Generator) -> Numbers:
    """Return the cluster of each point (n, d): k-means with clusters of equal size.

    In each round the points are shared out at the least sum of squared distances, then each centre
    becomes the mean of its points. Sizes differ by one at most.
    """
    # Slow to import, and only needed here.
    from scipy.optimize import linear_sum_assignment

    count = len(points)
    places = np.arange(count) % clusters
    chosen = np.full(count, -1)
    centres = points[rng.choice(count, clusters, replace=False)]
    for _ in range(iterations):
        # |p - c|^2 without |p|^2, which is the same for all of them.
        cost = np.square(centres).sum(axis=1) - 2 * points @ centres.T
        rows, columns = linear_sum_assignment(cost[:, places])
        now = np.empty(count, np.intp)
        now[rows] = places[columns]
        if (now == chosen).all():
            break
        chosen = now
        centres = np.stack([points[chosen == i].mean(axis=0) for i in range(clusters)])
    return chosen


def _ranks(shape: tuple[int, ...], clusters: int, ratio: float) -> tuple[int, int]:
    """Return the largest ranks, both the same part of their side, of at most so many weights."""
    outputs, channels, height, width = shape
    best = 1, 1
    for step in range(1, 257):
        out = max(outputs // clusters * step // 256, 1)
        inward = max(channels // clusters * step // 256, 1)
        core = clusters * clusters * out * inward * height * width
        size = clusters * (channels * inward + outputs * out) + core
        if size <= ratio * outputs * channels * height * width:
            best = out, inward
    return best
