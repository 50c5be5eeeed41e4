"""InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    canonical_axis,
    expect_bottoms,
    expect_tops,
    positive,
)


def inner_product(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (axes before `axis`..., N); weights (N, K), or (K, N) transposed; bias (N,)."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    param = layer.param.inner_product_param
    outputs = positive(layer, param.num_output, "num_output")
    axis = canonical_axis(layer, param.axis, len(bottoms[0]))
    inputs = prod(bottoms[0][axis:])
    weights = (inputs, outputs) if param.transpose else (outputs, inputs)
    bias: list[Shape] = [(outputs,)] if param.bias_term else []
    return LayerShapes([(*bottoms[0][:axis], outputs)], [weights, *bias])
