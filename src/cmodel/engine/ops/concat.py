"""Concat."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape
from cmodel.net.shapes.concat import concat_axis


class Concat(Op):
    """The bottoms one after another along an axis."""

    multiplies = False

    def joins(self, bottoms: Sequence[Shape]) -> int:
        """Return how many times the bottoms stand one after another."""
        return prod(bottoms[0][: concat_axis(self.layer, len(bottoms[0]))])

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axis."""
        axis = concat_axis(self.layer, len(bottoms[0]))

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.concatenate(bottoms, axis=axis, out=tops[0])

        return kernel
