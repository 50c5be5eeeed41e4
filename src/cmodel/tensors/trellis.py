"""The trellis of dependent quantization: which values an index may mean depends on those before.

M. Marcellin, T. Fischer, "Trellis Coded Quantization of Memoryless and Gauss-Markov Sources", 1990,
with the union quantizers and the 8 states of ISO/IEC 15938-17 (dependent quantization). Two grids
of twice the step interleave: quantizer 0 has the values 2k, quantizer 1 has 2k - sign(k). Each row
of a matrix starts in state 0; the parity of an index leads to the next state.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STATES = 8
# The state after index k in state s is NEXT[s, k & 1].
NEXT: NDArray[np.uint8] = np.array(
    [[0, 2], [5, 7], [1, 3], [6, 4], [2, 0], [4, 6], [3, 1], [7, 5]], np.uint8
)
# The quantizer of each state.
QUANTIZER: NDArray[np.uint8] = np.array([0, 1, 0, 1, 0, 1, 0, 1], np.uint8)


def levels(indices: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the integers that a matrix of indices (rows, columns) stands for.

    The plain definition; `cmodel._forms` has the fast one.
    """
    state = np.zeros(len(indices), np.uint8)
    values = np.empty(indices.shape, np.int32)
    for column in range(indices.shape[1]):
        index = indices[:, column].astype(np.int32)
        values[:, column] = 2 * index - QUANTIZER[state] * np.sign(index)
        state = NEXT[state, index & 1]
    return values
