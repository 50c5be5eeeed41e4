"""Poolings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmodel.errors import NetError
from cmodel.interchange.onnx.accept.convolution import explicit_pads, sizes_of
from cmodel.interchange.onnx.accept.structure import part_of
from cmodel.interchange.onnx.netbuilder import Acceptor, NodeView, Pads
from cmodel.interchange.onnx.windows import area
from cmodel.net import Layer, Shape
from cmodel.net.shapes.windows import Window, pooled_size, pooling_window
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense

_POOLING = caffe_pb2.PoolingParameter


def global_pool(maximum: bool) -> Acceptor:
    """Return the acceptor of a pooling over the whole image."""

    def accept(node: NodeView) -> Sequence[str]:
        if len(node.shape()) != 4:
            raise node.unsupported(f"Caffe pools images, not {len(node.shape())} axes")
        method = _POOLING.MAX if maximum else _POOLING.AVE
        pool = {"pool": method, "global_pooling": True}
        return [node.add("Pooling", [node.bottom()], pooling_param=pool)]

    return accept


def max_pool(node: NodeView) -> Sequence[str]:
    """MAX; how far windows reach beyond the end makes no difference."""
    if len(node.node.output) > 1 and node.net.uses[node.node.output[1]]:
        raise node.unsupported("Caffe counts the places of maxima in another way")
    bottom, around, value = node.padded()
    if around is not None and value != -np.inf and not (value == 0 and _not_negative(node, bottom)):
        raise node.unsupported(f"a padding with {value} before a pooling of the maximum")
    window, _, out = _window(node, bottom, around)
    return [_caffe_pool(node, bottom, window, out, _POOLING.MAX)]


def _not_negative(node: NodeView, blob: str) -> bool:
    layer = node.net.producer(blob)
    if layer is None:
        return False
    if layer.type == "ReLU":
        return layer.param.relu_param.negative_slope == 0
    return layer.type == "Clip" and layer.param.clip_param.min >= 0


def average_pool(node: NodeView) -> Sequence[str]:
    """AVE; where ONNX divides by another number than Caffe, a map of factors follows."""
    bottom, around, value = node.padded()
    if around is not None and value != 0:
        raise node.unsupported(f"a padding with {value} before an average")
    window, end, out = _window(node, bottom, around)
    size = node.net.shapes[bottom][2:]
    y = _caffe_pool(node, bottom, window, out, _POOLING.AVE)
    ours = area(window, size, out, window.pad, window.pad)
    if node.attribute("count_include_pad", 0):
        theirs = area(window, size, out, window.pad, end)
    else:
        theirs = area(window, size, out, *(around or ((0, 0), (0, 0))))
    if (ours == theirs).all():
        return [y]
    if (theirs <= 0).any():
        raise node.unsupported("an average over an empty window")
    factors = Dense((ours / theirs)[0, 0].astype(np.float32))
    return [node.add("Scale", [y], [factors], scale_param={"axis": 2, "num_axes": 2})]


def _window(node: NodeView, bottom: str, around: Pads | None) -> tuple[Window, Shape, Shape]:
    """Return the window with the padding before the image, that after it, and the output size."""
    kernel = tuple(node.attribute("kernel_shape", ()))
    shape = node.net.shapes[bottom]
    if len(kernel) != 2 or len(shape) != 4:
        raise node.unsupported(f"Caffe pools images, not {len(shape)} axes")
    stride, dilation = sizes_of(node, "strides", 2), sizes_of(node, "dilations", 2)
    if dilation != (1, 1):
        raise node.unsupported(f"Caffe's pooling has no dilation {dilation}")
    margin = around or ((0, 0), (0, 0))
    size = tuple(n + b + e for n, b, e in zip(shape[2:], *margin, strict=True))
    begin, end = explicit_pads(node, size, kernel, stride)
    up = bool(node.attribute("ceil_mode", 0))
    out = tuple(
        _count(n, k, s, b, e, up)
        for n, k, s, b, e in zip(size, kernel, stride, begin, end, strict=True)
    )
    begin = tuple(map(sum, zip(begin, margin[0], strict=True)))
    end = tuple(map(sum, zip(end, margin[1], strict=True)))
    return Window(1, kernel, stride, begin, (1, 1)), end, out


def _count(size: int, kernel: int, stride: int, begin: int, end: int, up: bool) -> int:
    room = size + begin + end - kernel
    count = (-(-room // stride) if up else room // stride) + 1
    # A window that starts in the padding after the image is none.
    if up and (count - 1) * stride >= size + begin:
        count -= 1
    return count


def _caffe_pool(node: NodeView, bottom: str, window: Window, out: Shape, method: int) -> str:
    """Add a Pooling, its sizes rounded up or down; windows that ONNX has not are cut off."""
    shape = node.net.shapes[bottom]
    found: dict[Shape, dict[str, Any]] = {}
    for rounding in (_POOLING.CEIL, _POOLING.FLOOR):
        fields = _fields(window, method, rounding)
        layer = Layer(caffe_pb2.LayerParameter(pooling_param=fields, bottom=[bottom]), node.name)
        try:
            sizes = pooled_size(layer, shape, pooling_window(layer, shape))
        except NetError as error:
            raise node.unsupported(f"Caffe cannot pool like this: {error.message}") from error
        if all(size >= wanted for size, wanted in zip(sizes, out, strict=True)):
            found.setdefault(sizes, fields)
    if not found:
        raise node.unsupported(
            f"a pooling to {out} from {shape[2:]} with kernel {window.kernel}, stride "
            f"{window.stride} and padding {window.pad} has fewer windows in Caffe"
        )
    y = node.add("Pooling", [bottom], pooling_param=found[min(found)])
    for axis, size in enumerate(out, 2):
        if node.net.shapes[y][axis] != size:
            y = part_of(node, y, axis, 0, size)
    return y


def _fields(window: Window, method: int, rounding: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"pool": method}
    for stem, (rows, columns), usual in (
        ("kernel", window.kernel, 0),
        ("stride", window.stride, 1),
        ("pad", window.pad, 0),
    ):
        if rows != columns:
            fields |= {f"{stem}_h": rows, f"{stem}_w": columns}
        elif rows != usual:
            fields["kernel_size" if stem == "kernel" else stem] = rows
    if rounding == _POOLING.FLOOR:
        fields["round_mode"] = rounding
    return fields
