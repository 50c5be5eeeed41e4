"""Backward passes of BatchNorm with stored statistics, Scale and Bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.batch_norm import BatchNorm as Forward
from cmodel.engine.ops.op import Array, dense
from cmodel.engine.ops.scale import view
from cmodel.net import Layer, Parameter
from cmodel.net.shapes.scale import operand


class BatchNorm(Gradient):
    """A factor for each channel."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        forward = Forward(layer, parameters)
        self.factor = np.asarray(1 / np.sqrt(forward.variance + forward.eps), np.float32)

    def run(self, at: Pass) -> list[Array]:
        """Multiply."""
        rank = len(at.bottom_shapes[0])
        return [at.gradients[0] * self.factor.reshape(-1, *(1,) * (rank - 2))]


class Scale(Gradient):
    """The factor is a parameter or the second bottom."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.factor = dense(parameters[0]).reshape(-1) if len(layer.bottoms) == 1 else None
        self.reads_bottoms = self.factor is None

    def run(self, at: Pass) -> list[Array]:
        """Multiply by the factor, and by the first bottom for the second."""
        shape = view(
            at.bottom_shapes[0],
            *operand(self.layer, self.layer.param.scale_param, at.bottom_shapes),
        )
        gradient = at.gradients[0].reshape(at.count, *shape)
        factor = at.bottoms[1].reshape(-1) if self.factor is None else self.factor
        found = [(gradient * factor[:, None]).reshape(at.gradients[0].shape)]
        if self.factor is None:
            second = np.einsum("dabc,abc->db", gradient, at.bottoms[0].reshape(shape))
            found.append(second.reshape(at.count, *at.bottom_shapes[1]))
        return found


class Bias(Gradient):
    """The offset is a parameter or the second bottom."""

    def run(self, at: Pass) -> list[Array]:
        """Hand it on; the second bottom's is the sum."""
        found = [at.gradients[0]]
        if len(at.bottom_shapes) == 2:
            shape = view(
                at.bottom_shapes[0],
                *operand(self.layer, self.layer.param.bias_param, at.bottom_shapes),
            )
            second = at.gradients[0].reshape(at.count, *shape).sum(axis=(1, 3))
            found.append(second.reshape(at.count, *at.bottom_shapes[1]))
        return found
