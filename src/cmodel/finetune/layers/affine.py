"""Layers that multiply by parameters: convolutions, inner products, factors, offsets, look-ups."""

from __future__ import annotations

from math import prod

import torch.nn.functional as F
from torch import Tensor

from cmodel.errors import DataError, UnsupportedError
from cmodel.finetune.layers.registry import Call, twin
from cmodel.net import Shape
from cmodel.net.shapes.rule import canonical_axis, place
from cmodel.net.shapes.scale import operand
from cmodel.net.shapes.windows import convolution_window

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_DECONVOLVE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@twin("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def convolution(call: Call) -> list[Tensor]:
    """Each bottom alike; axes before the channels are a batch."""
    layer, shape = call.layer, call.shapes[0]
    window = convolution_window(layer, shape)
    axes = len(window.kernel)
    function = _CONVOLVE.get(axes)
    if function is None:
        raise UnsupportedError(f"{axes} spatial axes do not train", where=place(layer))
    channels = shape[window.axis]
    own = layer.type == "ConvolutionDepthwise"
    groups = channels if own else layer.param.convolution_param.group
    weights = call.parameters[0]
    outputs = layer.param.convolution_param.num_output
    weights = weights.reshape(outputs, channels // groups, *window.kernel)
    bias = call.parameters[1].reshape(-1) if len(call.parameters) > 1 else None
    tops = []
    for x in call.bottoms:
        before = x.shape[: window.axis]
        flat = x.reshape(-1, *x.shape[window.axis :])
        y = function(flat, weights, bias, window.stride, window.pad, window.dilation, groups)
        tops.append(y.reshape(*before, *y.shape[1:]))
    return tops


@twin("Deconvolution")
def deconvolution(call: Call) -> list[Tensor]:
    """Each bottom alike."""
    layer, shape = call.layer, call.shapes[0]
    window = convolution_window(layer, shape)
    axes = len(window.kernel)
    function = _DECONVOLVE.get(axes)
    if function is None:
        raise UnsupportedError(f"{axes} spatial axes do not train", where=place(layer))
    param = layer.param.convolution_param
    channels = shape[window.axis]
    weights = call.parameters[0].reshape(channels, param.num_output // param.group, *window.kernel)
    bias = call.parameters[1].reshape(-1) if len(call.parameters) > 1 else None
    tops = []
    for x in call.bottoms:
        before = x.shape[: window.axis]
        flat = x.reshape(-1, *x.shape[window.axis :])
        y = function(
            flat, weights, bias, window.stride, window.pad, 0, param.group, window.dilation
        )
        tops.append(y.reshape(*before, *y.shape[1:]))
    return tops


@twin("InnerProduct")
def inner_product(call: Call) -> list[Tensor]:
    """Everything from the axis on is the input."""
    param = call.layer.param.inner_product_param
    weights = call.parameters[0]
    shape = (-1, param.num_output) if param.transpose else (param.num_output, -1)
    weights = weights.reshape(shape)
    if param.transpose:
        weights = weights.t()
    bias = call.parameters[1].reshape(-1) if len(call.parameters) > 1 else None
    tops = []
    for x in call.bottoms:
        axis = canonical_axis(call.layer, param.axis, x.ndim)
        flat = x.reshape(*x.shape[:axis], -1)
        tops.append(F.linear(flat, weights, bias))
    return tops


def _spread(values: Tensor, axis: int, covered: Shape, rank: int) -> Tensor:
    """Bring an operand that covers some axes into a shape that broadcasts over all."""
    return values.reshape(*(1,) * axis, *covered, *(1,) * (rank - axis - len(covered)))


@twin("Scale")
def scale(call: Call) -> list[Tensor]:
    """The factor is a parameter or the second bottom."""
    param = call.layer.param.scale_param
    axis, covered = operand(call.layer, param, call.shapes)
    operands = list(call.parameters)
    factor = operands.pop(0) if len(call.bottoms) == 1 else call.bottoms[1]
    x = call.bottoms[0]
    y = x * _spread(factor, axis, covered, x.ndim)
    if operands:
        y = y + _spread(operands[0], axis, covered, x.ndim)
    return [y]


@twin("Bias")
def bias(call: Call) -> list[Tensor]:
    """The offset is a parameter or the second bottom."""
    axis, covered = operand(call.layer, call.layer.param.bias_param, call.shapes)
    offset = call.parameters[0] if call.parameters else call.bottoms[1]
    x = call.bottoms[0]
    return [x + _spread(offset, axis, covered, x.ndim)]


@twin("PReLU")
def prelu(call: Call) -> list[Tensor]:
    """One slope for each channel, or one for all."""
    x = call.bottoms[0]
    slopes = call.parameters[0].reshape(-1, *(1,) * (x.ndim - 2))
    return [x.clamp(min=0) + slopes * x.clamp(max=0)]


@twin("Embed")
def embed(call: Call) -> list[Tensor]:
    """Rows looked up."""
    param = call.layer.param.embed_param
    weights = call.parameters[0].reshape(param.input_dim, param.num_output)
    index = call.bottoms[0].long()
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < param.input_dim:
        raise DataError(f"an index is none of the {param.input_dim} rows", where=place(call.layer))
    y = F.embedding(index, weights)
    if len(call.parameters) > 1:
        y = y + call.parameters[1].reshape(-1)
    return [y]


def channels_first(x: Tensor) -> Tensor:
    """Return (N, C, the rest as one axis)."""
    return x.reshape(*x.shape[:2], prod(x.shape[2:]))
