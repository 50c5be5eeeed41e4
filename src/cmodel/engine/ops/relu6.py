"""ReLU6."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class ReLU6(Unary):
    """x held between 0 and 6."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        np.clip(x, np.float32(0), np.float32(6), out=out)
