"""ArgMax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, canonical_axis, expect_bottoms, expect_tops, fail


def arg_max(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top with `top_k` along the axis; without axis (N, 1 or 2, top_k, 1...)."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    bottom, param = bottoms[0], layer.param.argmax_param
    if param.HasField("axis"):
        axis = canonical_axis(layer, param.axis, len(bottom))
        candidates = bottom[axis]
        top = (*bottom[:axis], param.top_k, *bottom[axis + 1 :])
    else:
        if not bottom:
            raise fail(layer, "the bottom is a scalar", blob=layer.bottoms[0])
        candidates = prod(bottom[1:])
        rest = (1,) * (max(len(bottom), 3) - 3)
        top = (bottom[0], 2 if param.out_max_val else 1, param.top_k, *rest)
    if not 1 <= param.top_k <= candidates:
        raise fail(
            layer,
            f"top_k {param.top_k} is not between 1 and the {candidates} candidates",
            blob=layer.bottoms[0],
        )
    return LayerShapes([top])
