"""TanH."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class TanH(Unary):
    """The hyperbolic tangent."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        np.tanh(x, out=out)
