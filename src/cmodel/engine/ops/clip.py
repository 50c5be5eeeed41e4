"""Clip."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class Clip(Unary):
    """x held between min and max."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        param = self.layer.param.clip_param
        np.clip(x, np.float32(param.min), np.float32(param.max), out=out)
