"""SPP: spatial pyramid pooling."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    expect_bottoms,
    expect_rank,
    expect_tops,
    fail,
    positive,
)
from cmodel.net.shapes.windows import Window

# 4 ** 15 bins would not fit a blob; a height beyond is a mistake or an attack.
MAX_HEIGHT = 15


def spp_windows(layer: Layer, bottom: Shape) -> list[Window]:
    """Return the pooling window of each level; level i has 2 ** i bins in each direction."""
    height = positive(layer, layer.param.spp_param.pyramid_height, "pyramid_height")
    if height > MAX_HEIGHT:
        raise fail(layer, f"pyramid_height {height} exceeds {MAX_HEIGHT}")
    windows = []
    for level in range(height):
        bins = 2**level
        kernel = tuple(-(-size // bins) for size in bottom[2:])
        pad = tuple((k * bins - size + 1) // 2 for k, size in zip(kernel, bottom[2:], strict=True))
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise fail(
                layer,
                f"level {level} of the pyramid has more bins ({bins}) than the image can fill",
                blob=layer.bottoms[0],
            )
        windows.append(Window(1, kernel, kernel, pad, (1, 1)))
    return windows


def spp(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (N, C * bins); (N, C, 1, 1) for a pyramid of one level."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 4, 4)
    levels = len(spp_windows(layer, bottoms[0]))
    images, channels = bottoms[0][:2]
    if levels == 1:
        return LayerShapes([(images, channels, 1, 1)])
    return LayerShapes([(images, channels * sum(4**level for level in range(levels)))])
