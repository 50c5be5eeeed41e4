"""Swish."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class Swish(Unary):
    """x sigmoid(beta x)."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        gate = x * np.float32(0.5 * self.layer.param.swish_param.beta)
        np.tanh(gate, out=gate)
        gate *= np.float32(0.5)
        gate += np.float32(0.5)
        np.multiply(x, gate, out=out)
