"""Layers that normalise, scale and shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.interchange.onnx.emit.activation import affine
from cmodel.interchange.onnx.graph import LayerGraph
from cmodel.net import Shape
from cmodel.net.shapes.scale import operand
from cmodel.proto import caffe_pb2


def lrn(layer: LayerGraph) -> Sequence[str]:
    """Across channels it is ONNX's own; within a channel it is spelled out."""
    param = layer.layer.param.lrn_param
    x, size = layer.x[0], param.local_size
    if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
        return [layer.node("LRN", x, size=size, alpha=param.alpha, beta=param.beta, bias=param.k)]
    # Caffe divides by the padded window and knows no k here.
    mean = layer.node(
        "AveragePool",
        layer.node("Mul", x, x),
        kernel_shape=[size, size],
        pads=[size // 2] * 4,
        count_include_pad=1,
    )
    divisor = affine(layer, mean, param.alpha, 1)
    return [layer.node("Mul", x, layer.node("Pow", divisor, layer.floats(-param.beta)))]


def batch_norm(layer: LayerGraph) -> Sequence[str]:
    """By the stored statistics, or by those of the batch."""
    param = layer.layer.param.batch_norm_param
    bottom = layer.bottoms[0]
    if param.HasField("use_global_stats") and not param.use_global_stats:
        axes = layer.integers([0, *range(2, len(bottom))])
        centred, spread = _moments(layer, axes)
        sigma = layer.node("Sqrt", affine(layer, spread, 1, param.eps))
        return [layer.node("Div", centred, sigma)]
    mean, variance, factor = (layer.values(i).reshape(-1) for i in range(3))
    unit = np.float32(0) if factor[0] == 0 else np.float32(1) / factor[0]
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    operands = [layer.floats(v) for v in (ones, zeros, mean * unit, variance * unit)]
    x = layer.x[0] if len(bottom) > 1 else layer.reshape(layer.x[0], (*bottom, 1))
    y = layer.node("BatchNormalization", x, *operands, epsilon=param.eps)
    return [y if len(bottom) > 1 else layer.reshape(y, bottom)]


def _moments(layer: LayerGraph, axes: str) -> tuple[str, str]:
    """Return x - mean, and the variance, over some axes."""
    centred = layer.node("Sub", layer.x[0], _mean(layer, layer.x[0], axes))
    return centred, _mean(layer, layer.node("Mul", centred, centred), axes)


def _mean(layer: LayerGraph, x: str, axes: str) -> str:
    return layer.node("ReduceMean", x, axes, noop_with_empty_axes=1)


def mvn(layer: LayerGraph) -> Sequence[str]:
    """(x - mean) / (sigma + eps), by channel or across channels."""
    param = layer.layer.param.mvn_param
    rank = len(layer.bottoms[0])
    axes = layer.integers(list(range(1 if param.across_channels else 2, rank)))
    if not param.normalize_variance:
        return [layer.node("Sub", layer.x[0], _mean(layer, layer.x[0], axes))]
    centred, variance = _moments(layer, axes)
    sigma = affine(layer, layer.node("Sqrt", variance), 1, param.eps)
    return [layer.node("Div", centred, sigma)]


def _views(layer: LayerGraph, axis: int, covered: Shape) -> list[str]:
    """Return the operands, second bottom first, in a shape that broadcasts."""
    rank = len(layer.bottoms[0])
    view = (*covered, *(1,) * (rank - axis - len(covered))) if covered else ()
    operands = []
    if len(layer.x) > 1:
        operands.append(layer.reshape(layer.x[1], view) if view != covered else layer.x[1])
    operands += [layer.parameter(i, view) for i in range(len(layer.parameters))]
    return operands


def scale(layer: LayerGraph) -> Sequence[str]:
    """x * factor, and + bias where there is one."""
    axis, covered = operand(layer.layer, layer.layer.param.scale_param, layer.bottoms)
    factor, *bias = _views(layer, axis, covered)
    y = layer.node("Mul", layer.x[0], factor)
    return [layer.node("Add", y, bias[0]) if bias else y]


def bias(layer: LayerGraph) -> Sequence[str]:
    """x + offset."""
    axis, covered = operand(layer.layer, layer.layer.param.bias_param, layer.bottoms)
    (offset,) = _views(layer, axis, covered)
    return [layer.node("Add", layer.x[0], offset)]


def softmax(layer: LayerGraph) -> Sequence[str]:
    """Along one axis."""
    return [layer.node("Softmax", layer.x[0], axis=layer.layer.param.softmax_param.axis)]
