"""Seeded samples and splits over a whole source, stratified where there are labels.

The same arguments give the same indices on every machine and with every NumPy: the order comes from
the raw 64-bit output of PCG64, whose stream NumPy guarantees, and from a stable sort.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.data.source import IntArray
from cmodel.errors import UsageError


def sample(labels_or_n: IntArray | int, limit: int | None, seed: int = 0) -> IntArray:
    """Return at most `limit` indices, sorted, drawn over the whole source.

    With labels (N,) every class is there in proportion, to within one item. A smaller sample of
    the same seed lies inside a larger one. Without a limit all indices are returned.
    """
    order = _order(labels_or_n, seed)
    if limit is None:
        return np.sort(order)
    if limit < 1:
        raise UsageError(f"a sample has at least one item, not {limit}")
    return np.sort(order[:limit])


def split(labels_or_n: IntArray | int, fractions: Sequence[float], seed: int = 0) -> list[IntArray]:
    """Return disjoint sorted index arrays, one for each fraction of the whole (sum at most 1).

    Each part is stratified as `sample` is.
    """
    if not fractions or min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
        raise UsageError(f"fractions are positive and sum to at most 1, not {list(fractions)}")
    order = _order(labels_or_n, seed)
    ends = np.rint(np.cumsum(fractions) * len(order)).astype(np.int64).clip(0, len(order))
    starts = [0, *ends[:-1]]
    return [np.sort(order[start:end]) for start, end in zip(starts, ends, strict=True)]


def _order(labels_or_n: IntArray | int, seed: int) -> IntArray:
    """Return all indices in random order such that any run of them is stratified."""
    n = labels_or_n if isinstance(labels_or_n, int) else len(labels_or_n)
    if seed < 0:
        raise UsageError(f"a seed is not negative, as {seed} is")
    order = np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")
    if isinstance(labels_or_n, int):
        return order
    # In this order, item r of a class with n_c items stands at (r + 1/2) / n_c of the whole.
    _, classes, counts = np.unique(labels_or_n[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(n, dtype=np.int64)
    first = np.cumsum(counts) - counts
    rank[by_class] = np.arange(n) - np.repeat(first, counts)
    place = (2 * rank + 1) / (2 * counts[classes])
    return order[np.argsort(place, kind="stable")]
