"""Power."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class Power(Unary):
    """(shift + scale x) ** power; a constant where power scale = 0."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        param = self.layer.param.power_param
        if param.power * param.scale == 0:
            out.fill(1 if param.power == 0 else np.float32(param.shift) ** np.float32(param.power))
            return
        np.multiply(x, np.float32(param.scale), out=out)
        if param.shift != 0:
            out += np.float32(param.shift)
        if param.power != 1:
            np.power(out, np.float32(param.power), out=out)
