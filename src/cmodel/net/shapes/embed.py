"""Embed."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_tops, positive


def embed(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (bottom..., N); weights (K, N), bias (N,)."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    param = layer.param.embed_param
    outputs = positive(layer, param.num_output, "num_output")
    inputs = positive(layer, param.input_dim, "input_dim")
    bias: list[Shape] = [(outputs,)] if param.bias_term else []
    return LayerShapes([(*bottoms[0], outputs)], [(inputs, outputs), *bias])
