"""Layers that change each element for itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import helper

from cmodel.interchange.onnx.graph import FLOAT, Emitter, LayerGraph


def plain(op: str) -> Emitter:
    """Return the emitter of a layer that is one node without attributes."""

    def emit(layer: LayerGraph) -> Sequence[str]:
        return [layer.node(op, layer.x[0])]

    return emit


def affine(layer: LayerGraph, x: str, scale: float, shift: float) -> str:
    """Return scale * x + shift."""
    if scale != 1:
        x = layer.node("Mul", x, layer.floats(scale))
    return layer.node("Add", x, layer.floats(shift)) if shift != 0 else x


def relu(layer: LayerGraph) -> Sequence[str]:
    """max(x, 0) + slope min(x, 0)."""
    slope = layer.layer.param.relu_param.negative_slope
    if slope == 0:
        return [layer.node("Relu", layer.x[0])]
    return [layer.node("LeakyRelu", layer.x[0], alpha=slope)]


def prelu(layer: LayerGraph) -> Sequence[str]:
    """A slope for each channel, or one for all."""
    if layer.layer.param.prelu_param.channel_shared:
        slope = layer.parameter(0, (1,))
    else:
        bottom = layer.bottoms[0]
        slope = layer.parameter(0, (bottom[1], *(1,) * (len(bottom) - 2)))
    return [layer.node("PRelu", layer.x[0], slope)]


def elu(layer: LayerGraph) -> Sequence[str]:
    """x above zero, alpha (exp(x) - 1) below."""
    return [layer.node("Elu", layer.x[0], alpha=layer.layer.param.elu_param.alpha)]


def clip(layer: LayerGraph) -> Sequence[str]:
    """x held between two bounds."""
    param = layer.layer.param.clip_param
    return [layer.node("Clip", layer.x[0], layer.floats(param.min), layer.floats(param.max))]


def relu6(layer: LayerGraph) -> Sequence[str]:
    """x held between 0 and 6."""
    return [layer.node("Clip", layer.x[0], layer.floats(0), layer.floats(6))]


def swish(layer: LayerGraph) -> Sequence[str]:
    """x / (1 + exp(-beta x))."""
    x = affine(layer, layer.x[0], layer.layer.param.swish_param.beta, 0)
    return [layer.node("Mul", layer.x[0], layer.node("Sigmoid", x))]


def threshold(layer: LayerGraph) -> Sequence[str]:
    """1 above the threshold, 0 elsewhere."""
    bound = layer.floats(layer.layer.param.threshold_param.threshold)
    return [layer.node("Cast", layer.node("Greater", layer.x[0], bound), to=FLOAT)]


def power(layer: LayerGraph) -> Sequence[str]:
    """(shift + scale x) ** power; a constant where power * scale = 0."""
    param = layer.layer.param.power_param
    if param.power * param.scale == 0:
        value = (
            1.0 if param.power == 0 else float(np.float32(param.shift) ** np.float32(param.power))
        )
        sizes = layer.node("Shape", layer.x[0])
        filled = helper.make_tensor("value", FLOAT, [1], [value])
        return [layer.node("ConstantOfShape", sizes, value=filled)]
    x = affine(layer, layer.x[0], param.scale, param.shift)
    return [layer.node("Pow", x, layer.floats(param.power)) if param.power != 1 else x]


def exp(layer: LayerGraph) -> Sequence[str]:
    """base ** (shift + scale x); base -1 means e."""
    param = layer.layer.param.exp_param
    log_base = 1.0 if param.base == -1 else math.log(param.base)
    y = layer.node("Exp", affine(layer, layer.x[0], log_base * param.scale, 0))
    return [affine(layer, y, math.exp(log_base * param.shift), 0)]


def log(layer: LayerGraph) -> Sequence[str]:
    """The logarithm of shift + scale x to the base; base -1 means e."""
    param = layer.layer.param.log_param
    y = layer.node("Log", affine(layer, layer.x[0], param.scale, param.shift))
    return [affine(layer, y, 1 if param.base == -1 else 1 / math.log(param.base), 0)]
