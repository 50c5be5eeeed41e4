"""MVN: mean and variance normalisation of each image."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class MVN(Op):
    """(x - mean) / (sigma + eps), by channel or across channels."""

    overwrites = True

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the number of means."""
        param = self.layer.param.mvn_param
        rows = prod(bottoms[0][: 1 if param.across_channels else 2])

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x, y = bottoms[0].reshape(rows, -1), tops[0].reshape(rows, -1)
            mean = x.mean(axis=1, keepdims=True, dtype=np.float64)
            np.subtract(x, mean.astype(np.float32), out=y)
            if param.normalize_variance:
                sigma = np.sqrt(np.square(y).mean(axis=1, keepdims=True, dtype=np.float64))
                y /= (sigma + param.eps).astype(np.float32)

        return kernel
