"""BN: batch normalisation with an affine part, of two forks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel._loops import affine
from cmodel.engine.ops.op import ELEMENT, Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.bn import is_segnet
from cmodel.proto import caffe_pb2

# Of SegNet's layer, which has no field for it.
SEGNET_EPS = 1e-9


class BN(Op):
    """slope (x - mean) / sqrt(variance + eps) + bias, by channel.

    SegNet's layer takes mean and variance from the batch, or leaves them out (INFERENCE).
    """

    overwrites = True

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        slope, self.bias, *statistics = (dense(parameter).reshape(-1) for parameter in parameters)
        self.slope = slope
        self.mean = np.zeros_like(slope)
        if statistics:
            self.mean, variance = statistics
            eps = np.float32(layer.param.bn_param.eps)
            self.slope = slope / np.sqrt(variance + eps)

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottom's shape."""
        bottom = bottoms[0]
        shape = (*bottom[:2], prod(bottom[2:]))
        workers = team(threads, prod(bottom) * ELEMENT)
        learn = caffe_pb2.BNParameter.LEARN

        def stored(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x, y = bottoms[0].reshape(shape), tops[0].reshape(shape)
            affine(x, self.mean, self.slope, self.bias, y, workers)

        def batch(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x, y = bottoms[0].reshape(shape), tops[0].reshape(shape)
            mean = x.mean(axis=(0, 2), dtype=np.float64)
            variance = np.square(x - mean[:, None]).mean(axis=(0, 2))
            slope = (self.slope / np.sqrt(variance + SEGNET_EPS)).astype(np.float32)
            affine(x, mean.astype(np.float32), slope, self.bias, y, workers)

        by_batch = is_segnet(self.layer) and self.layer.param.bn_param.bn_mode == learn
        return batch if by_batch else stored
