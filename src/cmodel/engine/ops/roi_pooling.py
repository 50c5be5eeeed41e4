"""ROIPooling: the maxima of regions, each cut into the same number of bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.errors import DataError
from cmodel.net import Shape


def _nearest(value: np.float32) -> int:
    """Round as C does: halves away from zero."""
    return int(np.trunc(value + np.copysign(np.float32(0.5), value)))


def _bins(first: int, last: int, count: int, size: int) -> list[tuple[int, int]]:
    """Return where the bins of a region start and end, within an axis of `size` entries."""
    step = np.float32(max(last - first + 1, 1)) / np.float32(count)
    bins = []
    for i in range(count):
        start = int(np.floor(np.float32(i) * step)) + first
        end = int(np.ceil(np.float32(i + 1) * step)) + first
        bins.append((min(max(start, 0), size), min(max(end, 0), size)))
    return bins


class ROIPooling(Op):
    """A region is (image, x1, y1, x2, y2), its corners included; an empty bin gives 0."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the number of bins."""
        images, _, height, width = bottoms[0]
        rows, columns = tops[0][2:]
        scale = np.float32(self.layer.param.roi_pooling_param.spatial_scale)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            regions = bottoms[1].reshape(-1, 5)
            # An integer of C would not hold the corner of a larger region.
            wrong = ~(np.abs(regions) < 2**30).all(axis=1)
            wrong |= (regions[:, 0] < 0) | (regions[:, 0].astype(np.int64) >= images)
            if wrong.any():
                raise DataError(
                    f"region {int(np.argmax(wrong))} lies in none of the {images} images",
                    where=f"layer `{self.layer.key}` (ROIPooling), blob `{self.layer.bottoms[1]}`",
                )
            for region, top in zip(regions, tops[0], strict=True):
                left, upper, right, lower = (_nearest(value * scale) for value in region[1:])
                plane = bottoms[0][int(region[0])]
                for i, (y1, y2) in enumerate(_bins(upper, lower, rows, height)):
                    for j, (x1, x2) in enumerate(_bins(left, right, columns, width)):
                        part = plane[:, y1:y2, x1:x2]
                        top[:, i, j] = part.max(axis=(1, 2)) if part.size else 0

        return kernel
