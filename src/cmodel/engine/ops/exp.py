"""Exp."""

from __future__ import annotations

import math

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class Exp(Unary):
    """base ** (shift + scale x); base -1 means e."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        param = self.layer.param.exp_param
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        np.multiply(x, np.float32(log_base * param.scale), out=out)
        np.exp(out, out=out)
        if param.shift != 0:
            out *= np.float32(math.exp(log_base * param.shift))
