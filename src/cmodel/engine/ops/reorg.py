"""Reorg: places become channels, in the order that Darknet gave them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class Reorg(Op):
    """Every stride-th value of rows and columns makes a smaller image.

    Both ways the values are read as if the image had a stride x stride part of the channels and was
    stride times as high and wide, whatever its shape says.
    """

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottom's shape."""
        stride = self.layer.param.reorg_param.stride
        images, channels, height, width = bottoms[0]
        channels //= stride * stride
        large = (images, channels, height, stride, width, stride)
        small = (images, stride, stride, channels, height, width)

        def forward(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.copyto(tops[0].reshape(small), bottoms[0].reshape(large).transpose(0, 3, 5, 1, 2, 4))

        def reverse(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.copyto(tops[0].reshape(large), bottoms[0].reshape(small).transpose(0, 3, 4, 1, 5, 2))

        return reverse if self.layer.param.reorg_param.reverse else forward
