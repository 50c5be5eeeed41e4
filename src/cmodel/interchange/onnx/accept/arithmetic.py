"""Sums, products and powers of blobs and constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmodel.interchange.onnx.accept.activation import product
from cmodel.interchange.onnx.netbuilder import NodeView
from cmodel.net import Shape
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense

_MAX = caffe_pb2.EltwiseParameter.MAX


def power_of(node: NodeView, x: str, power: float = 1, scale: float = 1, shift: float = 0) -> str:
    """Return (shift + scale x) ** power; `x` itself where that changes nothing."""
    fields = {
        name: value
        for name, value, usual in (("power", power, 1), ("scale", scale, 1), ("shift", shift, 0))
        if value != usual
    }
    return node.add("Power", [x], power_param=fields) if fields else x


def add(node: NodeView) -> Sequence[str]:
    """Blob + constant, or blob + blob."""
    constant = _constant_operand(node)
    if constant is not None:
        return [_add_constant(node, node.bottom(1 - constant), node.floats(constant))]
    return [_broadcast(node, node.bottom(0), node.bottom(1), scales=False)]


def sub(node: NodeView) -> Sequence[str]:
    """Blob - constant, constant - blob, or blob - blob."""
    constant = _constant_operand(node)
    if constant == 1:
        return [_add_constant(node, node.bottom(), -node.floats(1))]
    if constant == 0:
        negative = power_of(node, node.bottom(1), scale=-1)
        return [_add_constant(node, negative, node.floats(0))]
    if node.shape(0) == node.shape(1):
        bottoms = [node.bottom(0), node.bottom(1)]
        return [node.add("Eltwise", bottoms, eltwise_param={"coeff": [1, -1]})]
    negative = power_of(node, node.bottom(1), scale=-1)
    return [_broadcast(node, node.bottom(0), negative, scales=False)]


def mul(node: NodeView) -> Sequence[str]:
    """Blob * constant, or blob * blob."""
    constant = _constant_operand(node)
    if constant is not None:
        return [_multiply(node, node.bottom(1 - constant), node.floats(constant))]
    return [_broadcast(node, node.bottom(0), node.bottom(1), scales=True)]


def div(node: NodeView) -> Sequence[str]:
    """Blob / constant, constant / blob, or blob / blob."""
    constant = _constant_operand(node)
    if constant == 1:
        with np.errstate(divide="ignore"):
            return [_multiply(node, node.bottom(), np.float32(1) / node.floats(1))]
    inverse = power_of(node, node.bottom(1), power=-1)
    if constant == 0:
        return [_multiply(node, inverse, node.floats(0))]
    return [_broadcast(node, node.bottom(0), inverse, scales=True)]


def maximum(node: NodeView) -> Sequence[str]:
    """The largest of blobs of one shape."""
    bottoms = [node.bottom(i) for i in range(len(node.node.input))]
    return [node.add("Eltwise", bottoms, eltwise_param={"operation": _MAX})]


def sum_(node: NodeView) -> Sequence[str]:
    """The sum of blobs of one shape."""
    return [node.add("Eltwise", [node.bottom(i) for i in range(len(node.node.input))])]


def power(node: NodeView) -> Sequence[str]:
    """Blob ** constant."""
    exponent = node.floats(1)
    if exponent.size != 1:
        raise node.unsupported(f"exponents of shape {exponent.shape}")
    return [power_of(node, node.bottom(), power=float(exponent.reshape(())))]


def _constant_operand(node: NodeView) -> int | None:
    return next((i for i in (0, 1) if node.is_constant(i)), None)


def _region(node: NodeView, values: NDArray[np.float32], shape: Shape) -> tuple[int, int]:
    """Return the first axis along which a constant changes, and the one after the last."""
    sizes = (1,) * (len(shape) - values.ndim) + values.shape
    if values.ndim > len(shape) or any(
        size not in (1, n) for size, n in zip(sizes, shape, strict=True)
    ):
        raise node.unsupported(f"a constant of shape {values.shape} for a blob of {shape}")
    wide = [axis for axis, size in enumerate(sizes) if size != 1]
    return (wide[0], wide[-1] + 1) if wide else (0, 0)


def _operand(values: NDArray[np.float32], shape: Shape, start: int, end: int) -> Dense:
    """Return the constant over the axes from `start` to `end`."""
    sizes = (1,) * (len(shape) - values.ndim) + values.shape
    part = values.reshape(sizes[start:end])
    return Dense(np.ascontiguousarray(np.broadcast_to(part, shape[start:end])))


def _multiply(node: NodeView, x: str, values: NDArray[np.float32]) -> str:
    shape = node.net.shapes[x]
    start, end = _region(node, values, shape)
    if start == end:
        return power_of(node, x, scale=float(values.reshape(())))
    fields = {"axis": start, "num_axes": end - start}
    return node.add("Scale", [x], [_operand(values, shape, start, end)], scale_param=fields)


def _add_constant(node: NodeView, x: str, values: NDArray[np.float32]) -> str:
    shape = node.net.shapes[x]
    start, end = _region(node, values, shape)
    if start == end:
        return power_of(node, x, shift=float(values.reshape(())))
    offset = _operand(values, shape, start, end)
    if (start, end) == (len(shape) - 1, len(shape)) and _becomes_bias(node, x, offset):
        return x
    fields = {"axis": start, "num_axes": end - start}
    return node.add("Bias", [x], [offset], bias_param=fields)


def _becomes_bias(node: NodeView, x: str, offset: Dense) -> bool:
    """Make an offset the bias of the product before it, where nothing else reads that."""
    layer = node.net.producer(x)
    if layer is None or layer.type != "InnerProduct" or layer.param.inner_product_param.bias_term:
        return False
    if sum(node.net.uses[name] for name, blob in node.net.blobs.items() if blob == x) != 1:
        return False
    layer.param.inner_product_param.bias_term = True
    weights = node.net.parameters[layer.parameters[0]]
    forms = [weights, offset]
    node.net.set_parameters(layer, forms, [form.shape for form in forms])  # type: ignore[arg-type]
    return True


def _broadcast(node: NodeView, a: str, b: str, *, scales: bool) -> str:
    """Return a * b or a + b, the smaller one spread over the larger one."""
    shape, other = node.net.shapes[a], node.net.shapes[b]
    if shape == other:
        return product(node, a, b) if scales else node.add("Eltwise", [a, b])
    if len(shape) == len(other) and all(n in (1, m) for n, m in zip(shape, other, strict=True)):
        a, b, shape, other = b, a, other, shape
    if len(shape) != len(other) or any(n not in (1, m) for n, m in zip(other, shape, strict=True)):
        raise node.unsupported(f"blobs of shapes {shape} and {other}")
    # Where the smaller one agrees up to some axis and is 1 beyond: one number for each entry.
    covered = next(i for i, (n, m) in enumerate(zip(other, shape, strict=True)) if n != m)
    if not all(n == 1 for n in other[covered:]):
        covered = 0
    if covered:
        small = node.add("Reshape", [b], reshape_param={"shape": {"dim": [0] * covered}})
        if scales:
            return node.add("Scale", [a, small], scale_param={"axis": 0})
        return node.add("Bias", [a, small], bias_param={"axis": 0})
    for axis, (n, m) in enumerate(zip(other, shape, strict=True)):
        if n != m:
            b = node.add("Tile", [b], tile_param={"axis": axis, "tiles": m})
    return product(node, a, b) if scales else node.add("Eltwise", [a, b])
