"""Normalize: each place, or each image, brought to length 1 and scaled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op, dense
from cmodel.net import Layer, Parameter, Shape


class Normalize(Op):
    """x / sqrt(sum of squares + eps), times one factor or one for each channel."""

    overwrites = True

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.factor = dense(parameters[0]).reshape(-1)

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axes that a sum goes over."""
        param, rank = self.layer.param.norm_param, len(bottoms[0])
        axes = tuple(range(1, rank)) if param.across_spatial else (1,)
        factor = self.factor.reshape(-1, *(1,) * (rank - 2))

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            squares = np.square(bottoms[0]).sum(axis=axes, keepdims=True, dtype=np.float64)
            length = np.sqrt(squares + param.eps).astype(np.float32)
            np.divide(bottoms[0], length, out=tops[0])
            np.multiply(tops[0], factor, out=tops[0])

        return kernel
