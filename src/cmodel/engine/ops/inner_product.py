"""InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel._gemm import inner_product
from cmodel.engine.ops.op import Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape


class InnerProduct(Op):
    """Weights (N, K), or (K, N) with `transpose`, and bias (N,), dense."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.inner_product_param
        self.transposed = param.transpose
        weights = dense(parameters[0])
        shape = (-1, param.num_output) if param.transpose else (param.num_output, -1)
        self.weights = weights.reshape(shape)
        self.bias: Array | None = dense(parameters[1]).reshape(-1) if param.bias_term else None

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the number of rows."""
        outputs = self.layer.param.inner_product_param.num_output
        inputs = self.weights.size // outputs
        workers = team(threads, prod(bottoms[0]) * outputs)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            inner_product(
                bottoms[0].reshape(-1, inputs),
                self.weights,
                self.transposed,
                self.bias,
                tops[0].reshape(-1, outputs),
                workers,
            )

        return kernel
