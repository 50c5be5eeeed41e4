"""Backward passes of layers that move values: Concat, Slice, Crop, and those without a kernel."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.op import Array
from cmodel.net.shapes.concat import concat_axis
from cmodel.net.shapes.crop import crop_offsets
from cmodel.net.shapes.slice import slice_axis


class Concat(Gradient):
    """Each bottom gets its part."""

    def run(self, at: Pass) -> list[Array]:
        """Cut."""
        axis = concat_axis(self.layer, len(at.bottom_shapes[0]))
        points = list(accumulate(shape[axis] for shape in at.bottom_shapes))[:-1]
        return np.split(at.gradients[0], points, axis=axis + 1)


class Slice(Gradient):
    """The bottom gets the parts one after another."""

    def run(self, at: Pass) -> list[Array]:
        """Join."""
        axis = slice_axis(self.layer, len(at.bottom_shapes[0]))
        return [np.concatenate(at.gradients, axis=axis + 1)]


class Crop(Gradient):
    """The part gets the gradient; the second bottom only tells the size."""

    def run(self, at: Pass) -> list[Array]:
        """Put it in its place."""
        first, second = (np.zeros((at.count, *shape), np.float32) for shape in at.bottom_shapes)
        offsets = crop_offsets(self.layer, at.bottom_shapes)
        sizes = at.top_shapes[0]
        part = tuple(slice(start, start + size) for start, size in zip(offsets, sizes, strict=True))
        first[:, *part] = at.gradients[0]
        return [first, second]


class Alias(Gradient):
    """The tops hold the bottom's values, at most in another shape."""

    def run(self, at: Pass) -> list[Array]:
        """Add."""
        first, *rest = (
            gradient.reshape(at.count, *at.bottom_shapes[0]) for gradient in at.gradients
        )
        for gradient in rest:
            first = first + gradient
        return [first]
