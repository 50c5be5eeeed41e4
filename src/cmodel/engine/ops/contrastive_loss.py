"""ContrastiveLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class ContrastiveLoss(Op):
    """Squared distance of similar pairs, what others lack of the margin, squared; half the mean."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the kernel."""
        param = self.layer.param.contrastive_loss_param
        rows = bottoms[0][0]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            difference = (bottoms[0] - bottoms[1]).reshape(rows, -1).astype(np.float64)
            squared = np.square(difference).sum(axis=1)
            if param.legacy_version:
                apart = np.maximum(param.margin - squared, 0)
            else:
                apart = np.square(np.maximum(param.margin - np.sqrt(squared), 0))
            similar = bottoms[2].ravel().astype(np.int64) != 0
            for top in tops:
                top.fill(np.where(similar, squared, apart).sum() / rows / 2)

        return kernel
