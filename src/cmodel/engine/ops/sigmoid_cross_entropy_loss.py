"""SigmoidCrossEntropyLoss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.engine.ops.softmax_with_loss import normalizer
from cmodel.net import Shape
from cmodel.proto import caffe_pb2


class SigmoidCrossEntropyLoss(Op):
    """-sum t log p + (1 - t) log(1 - p), p the sigmoid of x; by image unless told otherwise."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the kernel."""
        param = self.layer.param.loss_param
        ignored = param.ignore_label if param.HasField("ignore_label") else None
        # Unlike other losses this one divides by the images by default.
        batch = caffe_pb2.LossParameter.BATCH_SIZE
        default = not (param.HasField("normalization") or param.HasField("normalize"))
        images = bottoms[0][0]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x, target = bottoms[0].ravel().astype(np.float64), bottoms[1].ravel()
            # x * (t - [x >= 0]) - log(1 + exp(-|x|)): nothing overflows.
            terms = np.log1p(np.exp(-np.abs(x))) - x * (target - (x >= 0))
            kept = np.ones(x.size, bool) if ignored is None else target.astype(int) != ignored
            divisor = (
                max(1, images)
                if default or param.normalization == batch
                else normalizer(self.layer, images, x.size, int(kept.sum()))
            )
            for top in tops:
                top.fill(terms[kept].sum() / divisor)

        return kernel
