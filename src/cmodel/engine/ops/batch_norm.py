"""BatchNorm: by the stored statistics, or by those of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel._loops import affine
from cmodel.engine.ops.op import ELEMENT, Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape


class BatchNorm(Op):
    """(x - mean) / sqrt(variance + eps), by channel."""

    overwrites = True

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        mean, variance, factor = (dense(parameter).reshape(-1) for parameter in parameters)
        # The stored sums are divided by the factor that they share; 0 means none.
        unit = np.float32(0) if factor[0] == 0 else np.float32(1) / factor[0]
        self.mean, self.variance = mean * unit, variance * unit
        param = layer.param.batch_norm_param
        self.stored = param.use_global_stats if param.HasField("use_global_stats") else True
        self.eps = np.float32(param.eps)

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottom's shape."""
        bottom, channels = bottoms[0], self.mean.size
        shape = (bottom[0], channels, prod(bottom[2:]))
        workers = team(threads, prod(bottom) * ELEMENT)
        none = np.zeros(channels, np.float32)

        def normalise(x: Array, y: Array, mean: Array, variance: Array) -> None:
            factor = np.float32(1) / np.sqrt(variance + self.eps)
            affine(x, mean, factor, none, y, workers)

        def stored(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x, y = bottoms[0].reshape(shape), tops[0].reshape(shape)
            normalise(x, y, self.mean, self.variance)

        def batch(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x, y = bottoms[0].reshape(shape), tops[0].reshape(shape)
            mean = x.mean(axis=(0, 2), dtype=np.float64)
            centred = x - mean[:, None]
            variance = np.square(centred).mean(axis=(0, 2))
            normalise(x, y, mean.astype(np.float32), variance.astype(np.float32))

        return stored if self.stored else batch
