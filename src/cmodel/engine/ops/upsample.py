"""Upsample: by repetition, or to the positions of the maxima of a pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.errors import DataError
from cmodel.net import Shape
from cmodel.net.shapes.upsample import upsample_scale


class Upsample(Op):
    """Each value repeated over a rectangle; with positions, put there, and zero elsewhere."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the sizes."""
        images, channels, height, width = bottoms[0]
        down, across = upsample_scale(self.layer, len(bottoms))
        planes, room = images * channels, tops[0][2] * tops[0][3]

        def repeat(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = bottoms[0].reshape(planes, height, 1, width, 1)
            np.copyto(tops[0].reshape(planes, height, down, width, across), x)

        def place(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            positions = bottoms[1].reshape(planes, -1).astype(np.int64)
            wrong = (positions < 0) | (positions >= room)
            if wrong.any():
                raise DataError(
                    f"position {positions[wrong][0]} lies outside a plane of {room} values",
                    where=f"layer `{self.layer.key}` (Upsample), blob `{self.layer.bottoms[1]}`",
                )
            tops[0].fill(0)
            rows = np.arange(planes)[:, None]
            tops[0].reshape(planes, room)[rows, positions] = bottoms[0].reshape(planes, -1)

        return place if len(bottoms) == 2 else repeat
