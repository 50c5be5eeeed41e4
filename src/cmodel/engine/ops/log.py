"""Log."""

from __future__ import annotations

import math

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class Log(Unary):
    """The logarithm of shift + scale x to the base; base -1 means e."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        param = self.layer.param.log_param
        np.multiply(x, np.float32(param.scale), out=out)
        out += np.float32(param.shift)
        np.log(out, out=out)
        if param.base != -1:
            out *= np.float32(1 / math.log(param.base))
