"""Caffe's own layer types, without losses and recurrent ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from cmodel.engine.reference.registry import (
    FUNCTIONS,
    Bottoms,
    Call,
    Doubles,
    register,
    sigmoid,
    softmax,
)
from cmodel.net import Layer, Shape
from cmodel.net.shapes.windows import Window, convolution_window, pooling_window
from cmodel.proto import caffe_pb2


def _unary(name: str, formula: Callable[[Layer, Doubles], Doubles]) -> None:
    FUNCTIONS.add(name, lambda call: [formula(call.layer, call.bottoms[0])])


def _leaky(x: Doubles, slope: Doubles | float) -> Doubles:
    return np.where(x < 0, x * slope, x)


def _elu(layer: Layer, x: Doubles) -> Doubles:
    return np.where(x > 0, x, layer.param.elu_param.alpha * (np.exp(x) - 1))


def _power(layer: Layer, x: Doubles) -> Doubles:
    param = layer.param.power_param
    result: Doubles = (param.shift + param.scale * x) ** param.power
    return result


def _exp(layer: Layer, x: Doubles) -> Doubles:
    param = layer.param.exp_param
    base = math.e if param.base == -1 else param.base
    result: Doubles = base ** (param.shift + param.scale * x)
    return result


def _log(layer: Layer, x: Doubles) -> Doubles:
    param = layer.param.log_param
    base = math.e if param.base == -1 else param.base
    result: Doubles = np.log(param.shift + param.scale * x) / math.log(base)
    return result


def _clip(layer: Layer, x: Doubles) -> Doubles:
    param = layer.param.clip_param
    result: Doubles = np.minimum(np.maximum(x, param.min), param.max)
    return result


_unary("ReLU", lambda layer, x: _leaky(x, layer.param.relu_param.negative_slope))
_unary("ELU", _elu)
_unary("Sigmoid", lambda layer, x: sigmoid(x))
_unary("TanH", lambda layer, x: np.tanh(x))
_unary("AbsVal", lambda layer, x: np.abs(x))
_unary("BNLL", lambda layer, x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0))
_unary("Power", _power)
_unary("Exp", _exp)
_unary("Log", _log)
_unary("Threshold", lambda layer, x: (x > layer.param.threshold_param.threshold).astype(np.float64))
_unary("Clip", _clip)
_unary("Swish", lambda layer, x: x * sigmoid(layer.param.swish_param.beta * x))


@register("Dropout", "Flatten", "HDF5Output", "Reshape", "Silence", "Split")
def _same(call: Call) -> list[Doubles]:
    return [call.bottoms[0].reshape(shape) for shape in call.tops]


@register("PReLU")
def _prelu(call: Call) -> list[Doubles]:
    x, slope = np.moveaxis(call.bottoms[0], 1, -1), call.parameters[0]
    return [np.moveaxis(_leaky(x, slope), -1, 1)]


def _places(window: Window, out: Shape, size: Shape) -> list[tuple[Shape, Shape, Shape]]:
    """Every (position of the window, tap of the kernel, place in the image) inside the image."""
    found = []
    for position in product(*map(range, out)):
        for tap in product(*map(range, window.kernel)):
            place = tuple(
                o * s - p + k * d
                for o, k, s, p, d in zip(
                    position, tap, window.stride, window.pad, window.dilation, strict=True
                )
            )
            if all(0 <= i < n for i, n in zip(place, size, strict=True)):
                found.append((position, tap, place))
    return found


def _at(x: Doubles, place: Shape) -> Doubles:
    """Return the entries of all images and channels at a place."""
    index: Any = (..., *place)
    result: Doubles = x[index]
    return result


def _bias(y: Doubles, parameters: Bottoms, axis: int) -> Doubles:
    if len(parameters) > 1:
        y += parameters[1].reshape(-1, *(1,) * (y.ndim - axis - 1))
    return y


@register("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def _convolution(call: Call) -> list[Doubles]:
    window = convolution_window(call.layer, call.bottoms[0].shape)
    axis, groups = window.axis, call.layer.param.convolution_param.group
    if call.layer.type == "ConvolutionDepthwise":
        groups = call.bottoms[0].shape[axis]
    out, size = call.tops[0][axis + 1 :], call.bottoms[0].shape[axis + 1 :]
    results = []
    for x in call.bottoms:
        y = np.zeros((math.prod(x.shape[:axis]), *call.tops[0][axis:]))
        flat = x.reshape(len(y), *x.shape[axis:])
        weights = np.split(call.parameters[0], groups)
        for x_part, y_part, w in zip(
            np.split(flat, groups, axis=1), np.split(y, groups, axis=1), weights, strict=True
        ):
            for position, tap, place in _places(window, out, size):
                _at(y_part, position)[...] += _at(x_part, place) @ _at(w, tap).T
        results.append(_bias(y, call.parameters, 1))
    return results


@register("Deconvolution")
def _deconvolution(call: Call) -> list[Doubles]:
    window = convolution_window(call.layer, call.bottoms[0].shape)
    axis, groups = window.axis, call.layer.param.convolution_param.group
    out, size = call.bottoms[0].shape[axis + 1 :], call.tops[0][axis + 1 :]
    results = []
    for x in call.bottoms:
        y = np.zeros((math.prod(x.shape[:axis]), *call.tops[0][axis:]))
        flat = x.reshape(len(y), *x.shape[axis:])
        weights = np.split(call.parameters[0], groups)
        for x_part, y_part, w in zip(
            np.split(flat, groups, axis=1), np.split(y, groups, axis=1), weights, strict=True
        ):
            for position, tap, place in _places(window, out, size):
                _at(y_part, place)[...] += _at(x_part, position) @ _at(w, tap)
        results.append(_bias(y, call.parameters, 1))
    return results


@register("Im2col")
def _im2col(call: Call) -> list[Doubles]:
    window = convolution_window(call.layer, call.bottoms[0].shape)
    axis, x = window.axis, call.bottoms[0]
    out = call.tops[0][axis + 1 :]
    y = np.zeros((*x.shape[: axis + 1], *window.kernel, *out))
    for position, tap, place in _places(window, out, x.shape[axis + 1 :]):
        _at(y, (*tap, *position))[...] = _at(x, place)
    return [y]


def _pool(x: Doubles, window: Window, out: Shape, maximum: bool) -> tuple[Doubles, Doubles]:
    """Return the pooled values and the places of the maxima."""
    y, at = np.zeros((*x.shape[:2], *out)), np.full((*x.shape[:2], *out), -1.0)
    for position in product(*map(range, out)):
        starts = [o * s - p for o, s, p in zip(position, window.stride, window.pad, strict=True)]
        # The window reaches into the padding but not beyond it; only the image has values.
        ends = [
            min(start + k, n + p)
            for start, k, n, p in zip(starts, window.kernel, x.shape[2:], window.pad, strict=True)
        ]
        rows = range(max(starts[0], 0), min(ends[0], x.shape[2]))
        columns = range(max(starts[1], 0), min(ends[1], x.shape[3]))
        for image, channel in np.ndindex(*x.shape[:2]):
            where = (image, channel, *position)
            if maximum:
                y[where] = -np.finfo(np.float32).max
                for i, j in product(rows, columns):
                    if x[image, channel, i, j] > y[where]:
                        y[where] = x[image, channel, i, j]
                        at[where] = i * x.shape[3] + j
            else:
                area = (ends[0] - starts[0]) * (ends[1] - starts[1])
                total = sum(x[image, channel, i, j] for i, j in product(rows, columns))
                y[where] = np.float64(total) / np.float64(area)
    return y, at


@register("Pooling")
def _pooling(call: Call) -> list[Doubles]:
    window = pooling_window(call.layer, call.bottoms[0].shape)
    maximum = call.layer.param.pooling_param.pool == caffe_pb2.PoolingParameter.MAX
    return list(_pool(call.bottoms[0], window, call.tops[0][2:], maximum))[: len(call.tops)]


@register("SPP")
def _spp(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.spp_param
    levels = []
    for level in range(param.pyramid_height):
        bins = 2**level
        kernel = tuple(math.ceil(n / bins) for n in x.shape[2:])
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, x.shape[2:], strict=True))
        window = Window(1, kernel, kernel, pad, (1, 1))
        y, _ = _pool(x, window, (bins, bins), param.pool == caffe_pb2.SPPParameter.MAX)
        levels.append(y.reshape(len(x), -1))
    return [np.concatenate(levels, axis=1)]


@register("LRN")
def _lrn(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.lrn_param
    half = param.local_size // 2
    total = np.zeros_like(x)
    if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
        for c in range(x.shape[1]):
            total[:, c] = (x[:, max(c - half, 0) : c + half + 1] ** 2).sum(axis=1)
        return [x * (param.k + param.alpha / param.local_size * total) ** -param.beta]
    for i, j in np.ndindex(*x.shape[2:]):
        part = x[:, :, max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]
        total[:, :, i, j] = (part**2).sum(axis=(2, 3)) / param.local_size**2
    return [x * (1 + param.alpha * total) ** -param.beta]


@register("InnerProduct")
def _inner_product(call: Call) -> list[Doubles]:
    weights = (
        call.parameters[0]
        if call.layer.param.inner_product_param.transpose
        else call.parameters[0].T
    )
    y = call.bottoms[0].reshape(-1, len(weights)) @ weights
    return [y + (call.parameters[1] if len(call.parameters) > 1 else 0)]


@register("Embed")
def _embed(call: Call) -> list[Doubles]:
    y = call.parameters[0][call.bottoms[0].astype(int)]
    return [y + (call.parameters[1] if len(call.parameters) > 1 else 0)]


@register("Softmax")
def _softmax(call: Call) -> list[Doubles]:
    return [softmax(call.bottoms[0], call.layer.param.softmax_param.axis)]


@register("Concat")
def _concat(call: Call) -> list[Doubles]:
    param = call.layer.param.concat_param
    axis = param.concat_dim if param.HasField("concat_dim") else param.axis
    return [np.concatenate(call.bottoms, axis=axis)]


@register("Slice")
def _slice(call: Call) -> list[Doubles]:
    param = call.layer.param.slice_param
    axis = param.slice_dim if param.HasField("slice_dim") else param.axis
    return np.split(call.bottoms[0], list(param.slice_point) or len(call.tops), axis=axis)


@register("BatchNorm")
def _batch_norm(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.batch_norm_param
    if x.ndim == 1:
        x = x[:, None]
    channels = (1, -1, *(1,) * (x.ndim - 2))
    if param.HasField("use_global_stats") and not param.use_global_stats:
        axes = (0, *range(2, x.ndim))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
    else:
        factor = call.parameters[2][0]
        mean, variance = (
            values / factor if factor else 0 * values for values in call.parameters[:2]
        )
    return [(x - mean.reshape(channels)) / np.sqrt(variance.reshape(channels) + param.eps)]


@register("Scale", "Bias")
def _scale(call: Call) -> list[Doubles]:
    operands = [*call.bottoms[1:], *call.parameters]
    is_scale = call.layer.type == "Scale"
    param = call.layer.param.scale_param if is_scale else call.layer.param.bias_param
    x = call.bottoms[0]
    axis = param.axis % x.ndim if operands[0].ndim else 0
    views = [
        values.reshape(*values.shape, *(1,) * (x.ndim - axis - values.ndim)) for values in operands
    ]
    if not is_scale:
        return [x + views[0]]
    return [x * views[0] + (views[1] if len(views) > 1 else 0)]


@register("Eltwise")
def _eltwise(call: Call) -> list[Doubles]:
    param = call.layer.param.eltwise_param
    stack = np.stack(call.bottoms)
    if param.operation == caffe_pb2.EltwiseParameter.PROD:
        return [stack.prod(axis=0)]
    if param.operation == caffe_pb2.EltwiseParameter.MAX:
        return [stack.max(axis=0)]
    return [np.tensordot(np.array(list(param.coeff) or [1.0] * len(stack)), stack, 1)]


@register("MVN")
def _mvn(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.mvn_param
    axes = tuple(range(1 if param.across_channels else 2, x.ndim))
    y = x - x.mean(axis=axes, keepdims=True)
    return [y / (x.std(axis=axes, keepdims=True) + param.eps) if param.normalize_variance else y]


@register("ArgMax")
def _arg_max(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.argmax_param
    by_axis = param.HasField("axis")
    rows = np.moveaxis(x, param.axis, -1) if by_axis else x.reshape(len(x), -1)
    best = np.zeros((*rows.shape[:-1], 2, param.top_k))
    for place in np.ndindex(*rows.shape[:-1]):
        pairs = sorted(((value, i) for i, value in enumerate(rows[place])), reverse=True)
        best[place] = [[i for _, i in pairs[: param.top_k]], [v for v, _ in pairs[: param.top_k]]]
    if by_axis:
        return [np.moveaxis(best[..., 1 if param.out_max_val else 0, :], -1, param.axis)]
    return [best if param.out_max_val else best[:, 0]]


@register("Tile")
def _tile(call: Call) -> list[Doubles]:
    param = call.layer.param.tile_param
    return [np.concatenate([call.bottoms[0]] * param.tiles, axis=param.axis)]


@register("Reduction")
def _reduction(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.reduction_param
    axes = tuple(range(param.axis % x.ndim, x.ndim))
    kinds = caffe_pb2.ReductionParameter
    y = {
        kinds.SUM: x.sum(axis=axes),
        kinds.ASUM: np.abs(x).sum(axis=axes),
        kinds.SUMSQ: (x**2).sum(axis=axes),
        kinds.MEAN: x.mean(axis=axes),
    }[param.operation]
    return [param.coeff * y]


@register("Crop")
def _crop(call: Call) -> list[Doubles]:
    x, param = call.bottoms[0], call.layer.param.crop_param
    axis = param.axis % x.ndim
    for i in range(axis, x.ndim):
        offsets = list(param.offset) or [0]
        start = offsets[i - axis if len(offsets) > 1 else 0]
        x = np.take(x, range(start, start + call.tops[0][i]), axis=i)
    return [x]


@register("BatchReindex")
def _batch_reindex(call: Call) -> list[Doubles]:
    return [call.bottoms[0][call.bottoms[1].ravel().astype(int)]]


@register("Parameter")
def _parameter(call: Call) -> list[Doubles]:
    return [call.parameters[0]]


@register("DummyData")
def _dummy_data(call: Call) -> list[Doubles]:
    values = [filler.value for filler in call.layer.param.dummy_data_param.data_filler] or [0.0]
    return [np.full(shape, values[min(i, len(values) - 1)]) for i, shape in enumerate(call.tops)]


@register("Filter")
def _filter(call: Call) -> list[Doubles]:
    *blobs, selector = call.bottoms
    chosen = [i for i, value in enumerate(selector.ravel()) if value != 0]
    return [blob[chosen] for blob in blobs]
