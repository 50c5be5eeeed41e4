"""Crop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape
from cmodel.net.shapes.crop import crop_offsets


class Crop(Op):
    """A part of the first bottom, as large as the second."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the part."""
        offsets = crop_offsets(self.layer, bottoms)
        part = tuple(
            slice(start, start + size) for start, size in zip(offsets, tops[0], strict=True)
        )

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.copyto(tops[0], bottoms[0][part])

        return kernel
