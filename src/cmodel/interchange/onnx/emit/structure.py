"""Layers that join, cut and rearrange blobs."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.interchange.onnx.graph import LayerGraph
from cmodel.net.shapes.concat import concat_axis
from cmodel.net.shapes.crop import crop_offsets
from cmodel.net.shapes.rule import canonical_axis
from cmodel.net.shapes.slice import slice_axis
from cmodel.proto import caffe_pb2


def same(layer: LayerGraph) -> Sequence[str]:
    """Every top is the bottom."""
    return [layer.node("Identity", layer.x[0]) for _ in layer.tops]


def silence(layer: LayerGraph) -> Sequence[str]:
    """Nothing."""
    return []


def concat(layer: LayerGraph) -> Sequence[str]:
    """Along an axis."""
    axis = concat_axis(layer.layer, len(layer.bottoms[0]))
    return [layer.node("Concat", *layer.x, axis=axis)]


def slice_(layer: LayerGraph) -> Sequence[str]:
    """Parts along an axis."""
    axis = slice_axis(layer.layer, len(layer.bottoms[0]))
    if len(layer.tops) == 1:
        return same(layer)
    sizes = layer.integers([top[axis] for top in layer.tops])
    return layer.nodes("Split", [layer.x[0], sizes], len(layer.tops), axis=axis)


def eltwise(layer: LayerGraph) -> Sequence[str]:
    """Product, weighted sum or maximum, from the first bottom to the last."""
    param = layer.layer.param.eltwise_param
    kinds = caffe_pb2.EltwiseParameter
    terms = list(layer.x)
    for i, coefficient in enumerate(param.coeff):
        if coefficient != 1:
            terms[i] = layer.node("Mul", terms[i], layer.floats(coefficient))
    fold = {kinds.PROD: "Mul", kinds.SUM: "Add", kinds.MAX: "Max"}[param.operation]
    y = terms[0]
    for term in terms[1:]:
        y = layer.node(fold, y, term)
    return [y]


def flatten(layer: LayerGraph) -> Sequence[str]:
    """Some axes made one; the axes before them are copied, whatever the batch."""
    param, rank = layer.layer.param.flatten_param, len(layer.bottoms[0])
    start = canonical_axis(layer.layer, param.axis, rank)
    end = canonical_axis(layer.layer, param.end_axis, rank)
    if start == 1 and end == rank - 1:
        return [layer.node("Flatten", layer.x[0], axis=1)]
    sizes = [0] * start + [-1] + list(layer.bottoms[0][end + 1 :])
    return [layer.node("Reshape", layer.x[0], layer.integers(sizes))]


def reshape(layer: LayerGraph) -> Sequence[str]:
    """ONNX reads 0 and -1 as Caffe does."""
    param, bottom = layer.layer.param.reshape_param, layer.bottoms[0]
    start = param.axis if param.axis >= 0 else len(bottom) + param.axis + 1
    end = len(bottom) if param.num_axes == -1 else start + param.num_axes
    sizes = [0] * start + list(param.shape.dim) + list(bottom[end:])
    return [layer.node("Reshape", layer.x[0], layer.integers(sizes))]


def crop(layer: LayerGraph) -> Sequence[str]:
    """A part of the first bottom, as large as the second."""
    rank = len(layer.bottoms[0])
    axis = canonical_axis(layer.layer, layer.layer.param.crop_param.axis, rank)
    starts = crop_offsets(layer.layer, layer.bottoms)[axis:]
    ends = [start + size for start, size in zip(starts, layer.tops[0][axis:], strict=True)]
    axes = list(range(axis, rank))
    return [layer.node("Slice", layer.x[0], *map(layer.integers, (starts, ends, axes)))]


def tile(layer: LayerGraph) -> Sequence[str]:
    """An axis repeated."""
    param, rank = layer.layer.param.tile_param, len(layer.bottoms[0])
    repeats = [1] * rank
    repeats[canonical_axis(layer.layer, param.axis, rank)] = param.tiles
    return [layer.node("Tile", layer.x[0], layer.integers(repeats))]
