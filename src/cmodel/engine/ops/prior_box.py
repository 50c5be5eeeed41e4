"""PriorBox: the boxes that a detector starts from."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Layer, Shape
from cmodel.net.shapes.prior_box import SAME_RATIO, aspect_ratios

# The variance where none is stated.
VARIANCE = 0.1


def _sizes(layer: Layer) -> list[tuple[float, float]]:
    """Return width and height, in pixels, of the boxes of one place."""
    param = layer.param.prior_box_param
    sizes = []
    for i, stated in enumerate(param.min_size):
        # SSD holds the sizes as whole numbers.
        least = int(stated)
        sizes.append((float(least), float(least)))
        if param.max_size:
            between = sqrt(least * int(param.max_size[i]))
            sizes.append((between, between))
        sizes += [
            (least * sqrt(ratio), least / sqrt(ratio))
            for ratio in aspect_ratios(layer)
            if abs(ratio - 1) >= SAME_RATIO
        ]
    return sizes


class PriorBox(Op):
    """Boxes of all sizes and ratios around each place, as fractions of the image."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Work the boxes out: they depend on the shapes alone."""
        param = self.layer.param.prior_box_param
        rows, columns = bottoms[0][2:]
        height = param.img_h or param.img_size or bottoms[1][2]
        width = param.img_w or param.img_size or bottoms[1][3]
        step_y = param.step_h or param.step or height / rows
        step_x = param.step_w or param.step or width / columns
        half = np.array(_sizes(self.layer), np.float64) / 2
        x = (np.arange(columns) + param.offset)[None, :, None] * step_x
        y = (np.arange(rows) + param.offset)[:, None, None] * step_y
        corners = (x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1])
        boxes = np.stack(np.broadcast_arrays(*corners), axis=-1)
        boxes /= (width, height, width, height)
        if param.clip:
            np.clip(boxes, 0, 1, out=boxes)
        variance = np.broadcast_to(list(param.variance) or VARIANCE, boxes.shape)
        result = np.stack([boxes, variance]).astype(np.float32).reshape(tops[0])

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.copyto(tops[0], result)

        return kernel
