"""Scale: a factor, and an offset, for each entry of some axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel._loops import affine
from cmodel.engine.ops.op import ELEMENT, Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.scale import operand


class Scale(Op):
    """x factor + offset; the factor is a parameter or the second bottom."""

    overwrites = True
    multiplies = False

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        values = [dense(parameter).reshape(-1) for parameter in parameters]
        self.factor = values.pop(0) if len(layer.bottoms) == 1 else None
        self.offset = values.pop(0) if values else None
        self.by_channel = layer.param.scale_param.axis == 1 and len(layer.bottoms) == 1

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottoms' shapes."""
        axis, covered = operand(self.layer, self.layer.param.scale_param, bottoms)
        shape = view(bottoms[0], axis, covered)
        none = np.zeros(shape[1], np.float32)
        offset = none if self.offset is None else self.offset

        workers = team(threads, prod(shape) * ELEMENT)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            factor = bottoms[1].reshape(-1) if self.factor is None else self.factor
            x, y = bottoms[0].reshape(shape), tops[0].reshape(shape)
            affine(x, none, factor, offset, y, workers)

        return kernel


def view(bottom: Shape, axis: int, covered: Shape) -> Shape:
    """Return the bottom's shape as (axes before, axes that the operand covers, axes after)."""
    return prod(bottom[:axis]), prod(covered), prod(bottom[axis + len(covered) :])
