"""AbsVal."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class AbsVal(Unary):
    """|x|."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        np.abs(x, out=out)
