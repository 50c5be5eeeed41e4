"""How far pooling windows reach, and what lies in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmodel.net import Shape
from cmodel.net.shapes.windows import Window

Map = NDArray[np.float64]


def reach(window: Window, size: Shape, out: Shape) -> Shape:
    """Return how far the windows reach beyond the end of the image, on each axis."""
    return tuple(
        max((o - 1) * s + k - n - p, 0)
        for o, s, k, n, p in zip(out, window.stride, window.kernel, size, window.pad, strict=True)
    )


def area(window: Window, size: Shape, out: Shape, begin: Shape, end: Shape) -> Map:
    """Return the size of each window, (1, 1, out...), clipped to the image and a margin around it.

    begin, end : the margin before and after the image, on each axis.
    """
    lengths = []
    for i, o in enumerate(out):
        start = np.arange(o) * window.stride[i] - window.pad[i]
        stop = np.minimum(start + window.kernel[i], size[i] + end[i])
        lengths.append((stop - np.maximum(start, -begin[i])).astype(np.float64))
    rows, columns = lengths
    return np.outer(rows, columns)[None, None]
