"""ReLU, with an optional slope below zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Unary
from cmodel.net import Layer, Parameter


class ReLU(Unary):
    """max(x, 0) + slope min(x, 0)."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.slope: float = layer.param.relu_param.negative_slope

    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`."""
        if self.slope == 0:
            np.maximum(x, 0, out=out)
            return
        below = np.minimum(x, 0)
        below *= np.float32(self.slope)
        np.maximum(x, 0, out=out)
        out += below
