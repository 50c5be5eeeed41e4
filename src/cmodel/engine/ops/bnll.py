"""BNLL: the binomial normal log likelihood."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class BNLL(Unary):
    """log(1 + exp(x)), without overflow."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        positive = np.maximum(x, 0)
        np.abs(x, out=out)
        np.negative(out, out=out)
        np.exp(out, out=out)
        np.log1p(out, out=out)
        out += positive
