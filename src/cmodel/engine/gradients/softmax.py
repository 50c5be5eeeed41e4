"""Backward pass of Softmax."""

from __future__ import annotations

from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.op import Array


class Softmax(Gradient):
    """y (dy - sum of dy y)."""

    reads_tops = True

    def run(self, at: Pass) -> list[Array]:
        """Return the gradient."""
        y, gradient = at.tops[0], at.gradients[0]
        axis = self.layer.param.softmax_param.axis % y.ndim + 1
        product = gradient * y
        product -= y * product.sum(axis=axis, keepdims=True)
        return [product]
