"""What benchmarks/peers.py makes of the times: medians, and ratios with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

RESAMPLES = 2000


def bootstrap_ratio(
    first: Sequence[float], second: Sequence[float], seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Return median(first) / median(second) and its 95 % interval.

    The rounds are drawn again with replacement, both engines' times of a round together: what
    slowed a round slowed both (Efron 1979, the percentile bootstrap).

    Parameters
    ----------
    first, second : seconds by round, of the same rounds.

    Raises
    ------
    ValueError : they are not of the same rounds, or of none.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(
            f"{len(first)} rounds beside {len(second)}: they have to be the same, not 0"
        )
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(a), (RESAMPLES, len(a)))
    ratios = np.median(a[drawn], axis=1) / np.median(b[drawn], axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(np.median(a) / np.median(b)), (float(low), float(high))


def best_peer(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return the engine with the smallest median."""
    return min(seconds, key=lambda name: float(np.median(seconds[name])))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, over the largest magnitude that is expected; inf for NaN.

    Raises
    ------
    ValueError : the numbers of values differ.
    """
    if found.size != expected.size:
        raise ValueError(f"{found.size} values, not {expected.size}")
    difference = np.abs(found.astype(np.float64).ravel() - expected.astype(np.float64).ravel())
    error = float(difference.max() / np.abs(expected).max())
    return float("inf") if np.isnan(error) else error
