import numpy as np
from numpy.typing import NDArray

def nearest(points: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return for each of the points (n, d) the nearest of the codewords (k, d), 1 <= k <= 65,536.

    Of equally near ones it is the first. Squared distances are summed in float32, in the order of
    the numbers: the same bits at every SIMD level. All numbers are finite.
    """

def lloyd(
    points: NDArray[np.float32],
    words: NDArray[np.float32],
    max_iter: int = 25,
    tol: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.uint16], int]:
    """Run Lloyd's algorithm on points (n, d), n > 0, from codewords (k, d).

    A codeword that no point is nearest to moves to the point that is farthest from its own. It ends
    after `max_iter` iterations, when no point changes its codeword, or when the squared moves of
    the codewords add up to at most `tol`. Returns codewords, the nearest one of each point, and the
    iterations. Sums are float64, in the order of the points.
    """
