"""Sigmoid."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class Sigmoid(Unary):
    """0.5 tanh(0.5 x) + 0.5."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        np.multiply(x, np.float32(0.5), out=out)
        np.tanh(out, out=out)
        out *= np.float32(0.5)
        out += np.float32(0.5)
