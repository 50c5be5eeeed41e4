"""Bias: an offset for each entry of some axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel._loops import affine
from cmodel.engine.ops.op import ELEMENT, Array, Kernel, Op, dense, team
from cmodel.engine.ops.scale import view
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.scale import operand


class Bias(Op):
    """x + offset; the offset is a parameter or the second bottom."""

    overwrites = True
    multiplies = False

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.offset = dense(parameters[0]).reshape(-1) if parameters else None
        self.by_channel = layer.param.bias_param.axis == 1 and self.offset is not None

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottoms' shapes."""
        axis, covered = operand(self.layer, self.layer.param.bias_param, bottoms)
        shape = view(bottoms[0], axis, covered)
        none, one = np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)

        workers = team(threads, prod(shape) * ELEMENT)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            offset = bottoms[1].reshape(-1) if self.offset is None else self.offset
            affine(bottoms[0].reshape(shape), none, one, offset, tops[0].reshape(shape), workers)

        return kernel
