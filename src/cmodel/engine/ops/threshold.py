"""Threshold."""

from __future__ import annotations

import numpy as np

from cmodel.engine.ops.op import Array, Unary


class Threshold(Unary):
    """1 above the threshold, else 0."""

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        np.copyto(out, x > np.float32(self.layer.param.threshold_param.threshold))
