"""Eltwise: product, weighted sum or maximum of blobs of one shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Layer, Parameter, Shape
from cmodel.proto import caffe_pb2


class Eltwise(Op):
    """Folds the bottoms from the first to the last."""

    overwrites = True
    multiplies = False

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.eltwise_param
        plain = param.operation == caffe_pb2.EltwiseParameter.SUM and set(param.coeff) <= {1.0}
        self.adds_two = plain and len(layer.bottoms) == 2

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the kernel of the operation."""
        param = self.layer.param.eltwise_param
        fold = {
            caffe_pb2.EltwiseParameter.PROD: np.multiply,
            caffe_pb2.EltwiseParameter.SUM: np.add,
            caffe_pb2.EltwiseParameter.MAX: np.maximum,
        }[param.operation]
        coefficients = [np.float32(value) for value in param.coeff]
        if all(value == 1 for value in coefficients):
            coefficients = []

        def plain(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            fold(bottoms[0], bottoms[1], out=tops[0])
            for bottom in bottoms[2:]:
                fold(tops[0], bottom, out=tops[0])

        def weighted(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.multiply(bottoms[0], coefficients[0], out=tops[0])
            for bottom, coefficient in zip(bottoms[1:], coefficients[1:], strict=True):
                tops[0][...] += bottom * coefficient

        return weighted if coefficients else plain
