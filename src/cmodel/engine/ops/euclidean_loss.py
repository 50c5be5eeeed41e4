"""EuclideanLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class EuclideanLoss(Op):
    """Half the squared distance, by image."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the kernel."""

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            distance = np.square(bottoms[0].ravel() - bottoms[1].ravel()).sum(dtype=np.float64)
            for top in tops:
                top.fill(distance / bottoms[0].shape[0] / 2)

        return kernel
