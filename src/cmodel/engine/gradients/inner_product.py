"""Backward pass of InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel._gemm import inner_product
from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.op import Array, dense, team
from cmodel.net import Layer, Parameter


class InnerProduct(Gradient):
    """Weights (N, K), or (K, N) with `transpose`."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.inner_product_param
        self.transposed = param.transpose
        shape = (-1, param.num_output) if param.transpose else (param.num_output, -1)
        self.weights = dense(parameters[0]).reshape(shape)

    def run(self, at: Pass) -> list[Array]:
        """Multiply by the weights."""
        outputs = self.layer.param.inner_product_param.num_output
        inputs = self.weights.size // outputs
        gradient = np.ascontiguousarray(at.gradients[0].reshape(-1, outputs))
        out = np.empty((len(gradient), inputs), np.float32)
        workers = team(at.threads, gradient.size * inputs)
        inner_product(gradient, self.weights, not self.transposed, None, out, workers)
        return [out.reshape(at.count, *at.bottom_shapes[0])]
