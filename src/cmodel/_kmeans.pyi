from typing import Any

import numpy as np
from numpy.typing import NDArray

def sort_float32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values (1-D) in ascending order of their bits: -0 before +0, NaN at the ends."""

def lloyd(
    values: NDArray[np.float32],
    centroids: NDArray[np.floating[Any]],
    max_iter: int = 50,
    tol: float = 0.0,
) -> tuple[NDArray[np.float32], int]:
    """Run Lloyd's algorithm on finite values and from centroids, both in ascending order.

    Sums are float64, in the order of the values. A value as near to two centroids belongs to the
    lower one; an empty cluster keeps its centroid. It ends after `max_iter` iterations, when no
    value changes its cluster, or when no centroid moves by more than `tol`. Returns centroids, and
    the iterations.
    """

def exact(values: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return the best min(k, distinct values) centroids for finite ascending values, k <= 4096.

    The optimum where there are at most 16,384 distinct values. Otherwise the optimum among
    clusterings that do not split any of 16,384 bins of equal width, improved by Lloyd's algorithm.
    """

def assign(
    values: NDArray[np.float32], centroids: NDArray[np.float32]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the index of each value's nearest centroid, the lowest one of equally near ones.

    `centroids` is finite and in ascending order, up to 65,536; indices are uint8 for up to 256,
    else uint16. The limit between two neighbours is their mean in float64. NaN gets index 0.
    """
