"""HingeLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.accuracy import labels_of
from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape
from cmodel.proto import caffe_pb2


class HingeLoss(Op):
    """Mean over the rows of max(0, 1 + x), the label's sign turned, or of its square."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the kernel of the norm."""
        squared = self.layer.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2
        rows = bottoms[0][0]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            margins = bottoms[0].reshape(rows, -1).astype(np.float64)
            labels = labels_of(self.layer, bottoms[1], margins.shape[1], None)
            margins[np.arange(rows), labels] *= -1
            margins = np.maximum(0, 1 + margins)
            total = np.square(margins).sum() if squared else margins.sum()
            for top in tops:
                top.fill(total / rows)

        return kernel
