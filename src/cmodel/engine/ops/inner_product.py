"""InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from math import prod

from cmodel import _engine
from cmodel._gemm import inner_product
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.native import LEAST_SHARED, NativeKernel
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
        self.native = _engine.available() and not param.transpose
        self.finish = Finish(bias=self.bias)

    def followed(self, following: Op) -> InnerProduct | None:
        """Return it with an operation that is done while the values are still in registers."""
        param = self.layer.param.inner_product_param
        if not self.native or param.axis != 1:
            return None
        finish = self.finish.then(following, param.num_output)
        if finish is None:
            return None
        other = copy(self)
        other.finish = finish
        return other

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the number of rows."""
        outputs = self.layer.param.inner_product_param.num_output
        inputs = self.weights.size // outputs
        work = prod(bottoms[0]) * outputs
        if self.native:
            finish = self.finish.native(outputs)
            workers = threads if work >= LEAST_SHARED else 1
            layer = _engine.Dense(prod(bottoms[0]) // inputs, self.weights, finish, workers)
            return NativeKernel(layer, self.finish.residual)
        workers = team(threads, work)

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
