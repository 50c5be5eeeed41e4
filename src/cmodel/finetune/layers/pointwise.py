"""Layers that treat each element for itself, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cmodel.finetune.layers.registry import TWINS, Call, twin
from cmodel.net import Layer


def _unary(name: str, formula: Callable[[Layer, Tensor], Tensor]) -> None:
    TWINS.add(name, lambda call: [formula(call.layer, call.bottoms[0])])


def _relu(layer: Layer, x: Tensor) -> Tensor:
    slope = layer.param.relu_param.negative_slope
    if slope == 0:
        return x.clamp(min=0)
    return x.clamp(min=0) + slope * x.clamp(max=0)


def _power(layer: Layer, x: Tensor) -> Tensor:
    param = layer.param.power_param
    if param.power * param.scale == 0:
        value = 1.0 if param.power == 0 else float(param.shift) ** float(param.power)
        return torch.full_like(x, value)
    y = x * param.scale + param.shift
    return y if param.power == 1 else y.pow(param.power)


def _exp(layer: Layer, x: Tensor) -> Tensor:
    param = layer.param.exp_param
    base = 1.0 if param.base == -1 else math.log(param.base)
    return torch.exp(x * (base * param.scale) + base * param.shift)


def _log(layer: Layer, x: Tensor) -> Tensor:
    param = layer.param.log_param
    y = torch.log(x * param.scale + param.shift)
    return y if param.base == -1 else y / math.log(param.base)


def _swish(layer: Layer, x: Tensor) -> Tensor:
    return x * torch.sigmoid(x * layer.param.swish_param.beta)


def _elu(layer: Layer, x: Tensor) -> Tensor:
    return x.clamp(min=0) + layer.param.elu_param.alpha * torch.expm1(x.clamp(max=0))


def _clip(layer: Layer, x: Tensor) -> Tensor:
    param = layer.param.clip_param
    return x.clamp(param.min, param.max)


_unary("AbsVal", lambda layer, x: x.abs())
_unary("BNLL", lambda layer, x: F.softplus(x))
_unary("Clip", _clip)
_unary("ELU", _elu)
_unary("Exp", _exp)
_unary("Log", _log)
_unary("Power", _power)
_unary("ReLU", _relu)
_unary("ReLU6", lambda layer, x: x.clamp(0, 6))
_unary("Sigmoid", lambda layer, x: torch.sigmoid(x))
_unary("Softmax", lambda layer, x: torch.softmax(x, layer.param.softmax_param.axis))
_unary("Swish", _swish)
_unary("TanH", lambda layer, x: torch.tanh(x))


@twin("Dropout")
def dropout(call: Call) -> list[Tensor]:
    """Nothing, except in training: then the ratio times the factor that was asked for."""
    ratio = call.layer.param.dropout_param.dropout_ratio * call.dropout
    return [F.dropout(call.bottoms[0], ratio, training=call.training)]
