"""Layers that reduce axes: Reduction and ArgMax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.interchange.onnx.emit.activation import affine
from cmodel.interchange.onnx.graph import FLOAT, LayerGraph
from cmodel.net.shapes.rule import canonical_axis
from cmodel.proto import caffe_pb2

_KINDS = caffe_pb2.ReductionParameter
_OPS = {
    _KINDS.SUM: "ReduceSum",
    _KINDS.ASUM: "ReduceL1",
    _KINDS.SUMSQ: "ReduceSumSquare",
    _KINDS.MEAN: "ReduceMean",
}


def reduction(layer: LayerGraph) -> Sequence[str]:
    """Over the last axes, times a coefficient."""
    param, rank = layer.layer.param.reduction_param, len(layer.bottoms[0])
    axes = list(range(canonical_axis(layer.layer, param.axis, rank), rank))
    y = layer.node(_OPS[param.operation], layer.x[0], layer.integers(axes), keepdims=0)
    return [affine(layer, y, param.coeff, 0)]


def arg_max(layer: LayerGraph) -> Sequence[str]:
    """The largest entries; of equal ones Caffe takes the last, TopK the first: read backwards."""
    param, bottom = layer.layer.param.argmax_param, layer.bottoms[0]
    by_axis = param.HasField("axis")
    x = layer.x[0] if by_axis else layer.node("Flatten", layer.x[0], axis=1)
    axis = canonical_axis(layer.layer, param.axis, len(bottom)) if by_axis else 1
    size = bottom[axis] if by_axis else prod(bottom[1:])
    start, end, step = layer.integers([-1]), layer.integers([-size - 1]), layer.integers([-1])
    backwards = layer.node("Slice", x, start, end, layer.integers([axis]), step)
    count = layer.integers([param.top_k])
    values, places = layer.nodes("TopK", [backwards, count], 2, axis=axis)
    if by_axis and param.out_max_val:
        return [values]
    index = layer.node("Sub", layer.integers(size - 1), places)
    found = layer.node("Cast", index, to=FLOAT)
    if by_axis:
        return [found]
    if param.out_max_val:
        found = layer.node("Concat", found, values, axis=1)
    return [layer.reshape(found, layer.tops[0])]
