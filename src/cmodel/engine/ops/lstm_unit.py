"""LSTMUnit: one step of an LSTM, its gates' sums given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape

HALF = np.float32(0.5)


def step(cell: Array, gates: Array, goes_on: Array) -> tuple[Array, Array]:
    """Return cell and hidden state (N, H) from the last cell, gates (N, 4H) and cont (N, 1).

    The gates stand in the order input, forget, output, new value.
    """
    hidden = cell.shape[1]
    sigmoid = HALF * np.tanh(HALF * gates[:, : 3 * hidden]) + HALF
    admit, keep, show = (sigmoid[:, i * hidden : (i + 1) * hidden] for i in range(3))
    # Where a stream starts anew the old cell is dropped, even an infinite one.
    kept = np.where(goes_on == 0, np.float32(0), goes_on * keep * cell)
    new: Array = kept + admit * np.tanh(gates[:, 3 * hidden :])
    return new, show * np.tanh(new)


class LSTMUnit(Op):
    """The new cell and hidden state."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the step."""

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            tops[0][0], tops[1][0] = step(bottoms[0][0], bottoms[1][0], bottoms[2].reshape(-1, 1))

        return kernel
