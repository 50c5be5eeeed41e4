"""PriorBox of SSD."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_rank, expect_tops, fail

# Two aspect ratios this close are one.
SAME_RATIO = 1e-6


def aspect_ratios(layer: Layer) -> list[float]:
    """Return 1 and the ratios given, with their inverses if they are flipped, each once."""
    param = layer.param.prior_box_param
    ratios = [1.0]
    for ratio in param.aspect_ratio:
        if ratio <= 0:
            raise fail(layer, f"aspect_ratio must be above 0, not {ratio}")
        if all(abs(ratio - other) >= SAME_RATIO for other in ratios):
            ratios.append(ratio)
            if param.flip:
                ratios.append(1 / ratio)
    return ratios


def prior_box(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (1, 2, 4 * boxes): corners, and their variances, of all boxes of all places."""
    expect_bottoms(layer, bottoms, 2)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 4, 4)
    expect_rank(layer, bottoms, 1, 4, 4)
    param = layer.param.prior_box_param
    if not param.min_size or any(size <= 0 for size in param.min_size):
        raise fail(layer, "min_size is needed, and each is above 0")
    if param.max_size:
        if len(param.max_size) != len(param.min_size):
            raise fail(layer, f"{len(param.max_size)} max_size for {len(param.min_size)} min_size")
        if any(high <= low for low, high in zip(param.min_size, param.max_size, strict=True)):
            raise fail(layer, "each max_size must be above its min_size")
    if len(param.variance) not in (0, 1, 4) or any(value <= 0 for value in param.variance):
        raise fail(layer, "variance takes one value or four, each above 0")
    one = len(param.min_size) * len(aspect_ratios(layer)) + len(param.max_size)
    return LayerShapes([(1, 2, bottoms[0][2] * bottoms[0][3] * one * 4)])
