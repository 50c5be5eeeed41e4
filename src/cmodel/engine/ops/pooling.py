"""Pooling: MAX and AVE."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel import _engine
from cmodel._loops import average_pool, max_pool
from cmodel.engine.ops.op import ELEMENT, Array, Kernel, NativeKernel, Op, PlainKernel, team
from cmodel.engine.ops.relu import ReLU
from cmodel.net import Shape
from cmodel.net.shapes.windows import Window, pooling_window
from cmodel.proto import caffe_pb2

# Elements below which the engine's own threads are not worth waking.
LEAST_ELEMENTS = 20_000


def pooling_kernel(window: Window, maximum: bool, bottom: Shape, threads: int) -> PlainKernel:
    """Return the kernel for a bottom (N, C, H, W); a second top takes the maxima's positions."""
    planes = bottom[0] * bottom[1]
    rows: NDArray[Any] = np.empty((planes, bottom[3]), np.float32 if maximum else np.float64)
    workers = team(threads, prod(bottom) * ELEMENT)
    geometry = (window.kernel, window.stride, window.pad)

    def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
        x = bottoms[0].reshape(planes, *bottom[2:])
        y, *rest = (top.reshape(planes, *top.shape[2:]) for top in tops)
        if maximum:
            max_pool(x, y, rest[0] if rest else None, *geometry, rows, workers)
        else:
            average_pool(x, y, *geometry, rows, workers)

    return kernel


class Pooling(Op):
    """Windows clipped as Caffe clips them; rectify: negative results become 0."""

    multiplies = False
    by_image = True
    rectify = False

    def followed(self, following: Op) -> Pooling | None:
        """Return it with a ReLU that is done at once."""
        native = _engine.available() and len(self.layer.tops) == 1
        if not native or not isinstance(following, ReLU) or following.slope or self.rectify:
            return None
        other = copy(self)
        other.rectify = True
        return other

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to one geometry."""
        window = pooling_window(self.layer, bottoms[0])
        maximum = self.layer.param.pooling_param.pool == caffe_pb2.PoolingParameter.MAX
        if _engine.available() and len(tops) == 1:
            pooling = _engine.Pooling(
                prod(bottoms[0][:2]),
                bottoms[0][2:],
                tops[0][2:],
                window.kernel,
                window.stride,
                window.pad,
                maximum,
                self.rectify,
                threads if prod(bottoms[0]) >= LEAST_ELEMENTS else 1,
            )
            if pooling.suits:
                return NativeKernel(pooling)
        plain = pooling_kernel(window, maximum, bottoms[0], threads)
        if not self.rectify:
            return plain

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            plain(bottoms, tops)
            np.maximum(tops[0], 0, out=tops[0])

        return kernel
