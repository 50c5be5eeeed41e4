"""Permute: the axes in another order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape
from cmodel.net.shapes.permute import permute_order


class Permute(Op):
    """The bottom's values, its axes reordered."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the order."""
        order = permute_order(self.layer, len(bottoms[0]))

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.copyto(tops[0], bottoms[0].transpose(order))

        return kernel
