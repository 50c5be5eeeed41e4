"""Reduction over the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape
from cmodel.proto import caffe_pb2


class Reduction(Op):
    """Sum, sum of magnitudes, sum of squares or mean, times a coefficient."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the number of sums."""
        param = self.layer.param.reduction_param
        kinds = caffe_pb2.ReductionParameter
        rows = prod(tops[0])
        size = prod(bottoms[0]) // rows
        factor = param.coeff / (size if param.operation == kinds.MEAN else 1)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = bottoms[0].reshape(rows, size)
            if param.operation == kinds.ASUM:
                x = np.abs(x)
            elif param.operation == kinds.SUMSQ:
                x = np.square(x)
            total = x.sum(axis=1, dtype=np.float64) * factor
            np.copyto(tops[0], total.reshape(tops[0].shape), casting="same_kind")

        return kernel
