"""ELU."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class ELU(Unary):
    """x above zero, alpha (exp(x) - 1) below."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        alpha = np.float32(self.layer.param.elu_param.alpha)
        below = np.minimum(x, 0)
        np.expm1(below, out=below)
        below *= alpha
        np.maximum(x, 0, out=out)
        out += below
