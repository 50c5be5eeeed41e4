"""Backward passes of LRN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.op import Array
from cmodel.proto import caffe_pb2


class LRN(Gradient):
    """Of x s^-beta, where s is an offset plus a multiple of the sum of squares in a window.

    dx = dy s^-beta - 2 beta (the multiple) x * (sum of dy x s^(-beta - 1) in the same window).
    """

    reads_bottoms = True

    def run(self, at: Pass) -> list[Array]:
        """Return the gradient."""
        param, x = self.layer.param.lrn_param, at.bottoms[0]
        size = param.local_size
        if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
            axes, offset, factor = [-3], param.k, param.alpha / size
        else:
            axes, offset, factor = [-2, -1], 1.0, param.alpha / size**2
        scale = np.float32(offset) + np.float32(factor) * _sums(np.square(x), size, axes)
        power = scale ** np.float32(-param.beta)
        gradient = at.gradients[0]
        inner = _sums(gradient * (x * power / scale), size, axes)
        inner *= np.float32(-2 * param.beta * factor) * x
        inner += gradient * power
        return [inner]


def _sums(values: Array, size: int, axes: Sequence[int]) -> Array:
    """Return the sums in windows of `size` around each element, along each of the axes."""
    for axis in axes:
        count = values.shape[axis]
        moved = np.moveaxis(values, axis, 0)
        total = moved.copy()
        for shift in range(1, min(size // 2, count - 1) + 1):
            total[shift:] += moved[:-shift]
            total[:-shift] += moved[shift:]
        values = np.moveaxis(total, 0, axis)
    return values
