"""ShuffleChannel: channels of the groups taken in turn."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class ShuffleChannel(Op):
    """The first channel of every group, then the second of every group, and so on."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the groups."""
        images, channels = bottoms[0][:2]
        group = self.layer.param.shuffle_channel_param.group
        inner = prod(bottoms[0][2:])

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = bottoms[0].reshape(images, group, channels // group, inner)
            np.copyto(tops[0].reshape(images, channels // group, group, inner), x.swapaxes(1, 2))

        return kernel
