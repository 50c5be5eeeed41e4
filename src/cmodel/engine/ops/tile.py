"""Tile."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class Tile(Op):
    """The bottom repeated along an axis."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axis."""
        param = self.layer.param.tile_param
        axis = param.axis % len(bottoms[0])
        outer, inner = prod(bottoms[0][:axis]), prod(bottoms[0][axis:])

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            top = tops[0].reshape(outer, param.tiles, inner)
            np.copyto(top, bottoms[0].reshape(outer, 1, inner))

        return kernel
