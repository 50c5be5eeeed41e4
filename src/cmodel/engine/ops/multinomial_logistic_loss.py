"""MultinomialLogisticLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.accuracy import labels_of
from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape

# Caffe's least probability, here and in InfogainLoss.
LEAST = np.float32(1e-20)


class MultinomialLogisticLoss(Op):
    """-log of the label's probability, the mean over the images."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the kernel."""
        images = bottoms[0][0]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            odds = bottoms[0].reshape(images, -1)
            labels = labels_of(self.layer, bottoms[1], odds.shape[1], None)
            own = np.maximum(odds[np.arange(images), labels], LEAST)
            for top in tops:
                top.fill(-np.log(own).sum(dtype=np.float64) / images)

        return kernel
