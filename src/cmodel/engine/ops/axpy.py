"""Axpy: a channel's factor times one blob, plus another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class Axpy(Op):
    """a x + y, one factor for each image and channel."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottoms' shapes."""
        shape = bottoms[1][:2] + (1,) * (len(bottoms[1]) - 2)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.multiply(bottoms[0].reshape(shape), bottoms[1], out=tops[0])
            np.add(tops[0], bottoms[2], out=tops[0])

        return kernel
