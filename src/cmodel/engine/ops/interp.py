"""Interp: bilinear resizing, corners on corners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


def _between(size: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Return for `count` places over `size` values their neighbours and the second one's weight."""
    step = (size - 1) / (count - 1) if count > 1 else 0.0
    place = np.arange(count) * step
    low = np.minimum(place.astype(np.intp), size - 1)
    return low, np.minimum(low + 1, size - 1), (place - low).astype(np.float32)


class Interp(Op):
    """Weighted means of the four neighbours of each place."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Work out neighbours and weights."""
        param = self.layer.param.interp_param
        inside = slice(-param.pad_beg, None if not param.pad_end else param.pad_end)
        height, width = (size + param.pad_beg + param.pad_end for size in bottoms[0][2:])
        top, bottom, down = _between(height, tops[0][2])
        left, right, across = _between(width, tops[0][3])
        down = down[:, None]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = bottoms[0][:, :, inside, inside]
            rows = x[:, :, top] * (1 - down) + x[:, :, bottom] * down
            np.multiply(rows[..., left], 1 - across, out=tops[0])
            tops[0][...] += rows[..., right] * across

        return kernel
