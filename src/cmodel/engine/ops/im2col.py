"""Im2col: the patches that a convolution multiplies."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape
from cmodel.net.shapes.windows import convolution_window


class Im2col(Op):
    """One channel for each input channel and place in the kernel."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to one geometry."""
        bottom, window = bottoms[0], convolution_window(self.layer, bottoms[0])
        images, channels = prod(bottom[: window.axis]), bottom[window.axis]
        spatial, out = bottom[window.axis + 1 :], tops[0][window.axis + 1 :]
        padding = [(0, 0), (0, 0), *((pad, pad) for pad in window.pad)]
        places = [
            tuple(
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(place, window.dilation, out, window.stride, strict=True)
            )
            for place in np.ndindex(*window.kernel)
        ]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = np.pad(bottoms[0].reshape(images, channels, *spatial), padding)
            top = tops[0].reshape(images, channels, len(places), *out)
            for i, place in enumerate(places):
                np.copyto(top[:, :, i], x[:, :, *place])

        return kernel
