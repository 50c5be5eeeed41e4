"""LRN: across channels, or within each channel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel import _engine
from cmodel._loops import lrn_across, lrn_within
from cmodel.engine.ops.op import ELEMENT, Array, Kernel, NativeKernel, Op, team
from cmodel.net import Shape
from cmodel.proto import caffe_pb2

# The exponent for which there is a kernel.
NATIVE_BETA = 0.75


class LRN(Op):
    """Divides by a power of the local sum, or mean, of squares."""

    multiplies = False

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottom's shape."""
        param = self.layer.param.lrn_param
        images, channels, height, width = bottoms[0]
        size, alpha, beta, k = param.local_size, param.alpha, param.beta, param.k

        workers = team(threads, prod(bottoms[0]) * ELEMENT)

        def across(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            shape = (images, channels, height * width)
            x, y = bottoms[0].reshape(shape), tops[0].reshape(shape)
            lrn_across(x, y, size, alpha, beta, k, workers)

        def within(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            shape = (images * channels, height, width)
            x, y = bottoms[0].reshape(shape), tops[0].reshape(shape)
            lrn_within(x, y, size, alpha, beta, workers)

        if param.norm_region != caffe_pb2.LRNParameter.ACROSS_CHANNELS:
            return within
        if _engine.available() and beta == NATIVE_BETA:
            native = _engine.LRN(images, channels, height * width, size, alpha, k, workers)
            return NativeKernel(native)
        return across
