"""BatchReindex: chosen images of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.errors import DataError
from cmodel.net import Shape


class BatchReindex(Op):
    """The images whose numbers the second bottom lists."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the look-up."""
        images = bottoms[0][0]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            index = bottoms[1].reshape(-1).astype(np.int64)
            if index.min() < 0 or index.max() >= images:
                wrong = index[(index < 0) | (index >= images)][0]
                raise DataError(
                    f"index {wrong} is none of the {images} images",
                    where=f"layer `{self.layer.key}` (BatchReindex), "
                    f"blob `{self.layer.bottoms[1]}`",
                )
            np.take(bottoms[0], index, axis=0, out=tops[0])

        return kernel
