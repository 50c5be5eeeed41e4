"""Backward pass of Eltwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.op import Array
from cmodel.net import Layer, Parameter
from cmodel.proto import caffe_pb2


class Eltwise(Gradient):
    """Of a product, a weighted sum or a maximum."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.operation = layer.param.eltwise_param.operation
        self.reads_bottoms = self.operation != caffe_pb2.EltwiseParameter.SUM

    def run(self, at: Pass) -> list[Array]:
        """Return the gradients."""
        gradient, bottoms = at.gradients[0], at.bottoms
        if self.operation == caffe_pb2.EltwiseParameter.SUM:
            coefficients = self.layer.param.eltwise_param.coeff
            if not coefficients:
                return [gradient] * len(at.bottom_shapes)
            return [gradient * np.float32(value) for value in coefficients]
        if self.operation == caffe_pb2.EltwiseParameter.PROD:
            return [gradient * _product_without(bottoms, i) for i in range(len(bottoms))]
        # In Caffe the last of equal ones is the maximum.
        last = len(bottoms) - 1 - np.argmax(np.stack(bottoms[::-1]), axis=0)
        return [gradient * (last == i) for i in range(len(bottoms))]


def _product_without(bottoms: Sequence[Array], index: int) -> Array:
    product = np.ones_like(bottoms[0])
    for i, bottom in enumerate(bottoms):
        if i != index:
            product *= bottom
    return product
