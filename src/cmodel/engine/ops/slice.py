"""Slice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape
from cmodel.net.shapes.slice import slice_axis


class Slice(Op):
    """Consecutive parts of the bottom along an axis."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axis and the parts."""
        axis = slice_axis(self.layer, len(bottoms[0]))
        points = list(accumulate(top[axis] for top in tops))[:-1]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            for part, top in zip(np.split(bottoms[0], points, axis=axis), tops, strict=True):
                np.copyto(top, part)

        return kernel
