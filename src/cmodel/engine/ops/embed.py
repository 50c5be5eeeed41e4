"""Embed: rows of a matrix, looked up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op, dense
from cmodel.errors import DataError
from cmodel.net import Layer, Parameter, Shape


class Embed(Op):
    """Row `x` of the weights (K, N), plus the bias."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.embed_param
        self.weights = dense(parameters[0]).reshape(param.input_dim, param.num_output)
        if param.bias_term:
            self.weights = self.weights + dense(parameters[1]).reshape(-1)

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the look-up."""
        rows, columns = self.weights.shape

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            index = bottoms[0].reshape(-1).astype(np.int64)
            if index.min() < 0 or index.max() >= rows:
                wrong = index[(index < 0) | (index >= rows)][0]
                raise DataError(
                    f"index {wrong} is none of the {rows} rows",
                    where=f"layer `{self.layer.key}` (Embed), blob `{self.layer.bottoms[0]}`",
                )
            np.take(self.weights, index, axis=0, out=tops[0].reshape(-1, columns))

        return kernel
