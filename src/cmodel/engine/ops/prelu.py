"""PReLU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op, dense
from cmodel.net import Layer, Parameter, Shape


class PReLU(Op):
    """max(x, 0) + slope min(x, 0), one slope for each channel or one for all."""

    overwrites = True

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.slopes = dense(parameters[0]).reshape(-1)

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottom's rank."""
        slopes = self.slopes.reshape(-1, *(1,) * (len(bottoms[0]) - 2))

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            below = np.minimum(bottoms[0], 0)
            below *= slopes
            np.maximum(bottoms[0], 0, out=tops[0])
            tops[0][...] += below

        return kernel
