"""An ONNX model of `cmodel export` as a PyTorch module: the layers of the benchmark's nets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

Attributes = dict[str, Any]


def _padded(x: Tensor, at: Attributes, value: float) -> Tensor:
    """Return the image with its borders: PyTorch's pools have the same at both ends only."""
    top, left, bottom, right = at.get("pads", [0, 0, 0, 0])
    return F.pad(x, (left, right, top, bottom), value=value) if any(at.get("pads", ())) else x


def _conv(at: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, bottom, right = at.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise ValueError(f"Conv with the pads {at['pads']}")
    strides, dilations = at.get("strides", [1, 1]), at.get("dilations", [1, 1])
    return F.conv2d(x, weight, bias, strides, (top, left), dilations, at.get("group", 1))


def _max_pool(at: Attributes, x: Tensor) -> Tensor:
    x = _padded(x, at, float("-inf"))
    return F.max_pool2d(x, at["kernel_shape"], at.get("strides", [1, 1]))


def _average_pool(at: Attributes, x: Tensor) -> Tensor:
    kernel, strides = at["kernel_shape"], at.get("strides", [1, 1])
    sums = F.avg_pool2d(_padded(x, at, 0.0), kernel, strides)
    if at.get("count_include_pad", 0) or not any(at.get("pads", ())):
        return sums
    # Only what lies in the image counts; the shares are constants of the traced module.
    shares = F.avg_pool2d(_padded(torch.ones_like(x[:1, :1]), at, 0.0), kernel, strides)
    return sums / shares


def _gemm(at: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight if at.get("transB") else weight.T, bias)


def _lrn(at: Attributes, x: Tensor) -> Tensor:
    return F.local_response_norm(x, at["size"], at["alpha"], at["beta"], at.get("bias", 1.0))


def _batch_norm(
    at: Attributes, x: Tensor, scale: Tensor, b: Tensor, m: Tensor, v: Tensor
) -> Tensor:
    return F.batch_norm(x, m, v, scale, b, eps=at.get("epsilon", 1e-5))


OPS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda at, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Concat": lambda at, *xs: torch.cat(xs, at["axis"]),
    "Conv": _conv,
    "Flatten": lambda at, x: x.flatten(at.get("axis", 1)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda at, x: F.adaptive_avg_pool2d(x, 1),
    "Identity": lambda at, x: x,
    "LRN": _lrn,
    "MaxPool": _max_pool,
    "Mul": lambda at, x, y: x * y,
    "Relu": lambda at, x: F.relu(x),
    "Softmax": lambda at, x: F.softmax(x, at.get("axis", -1)),
}


class OnnxModule(nn.Module):
    """Runs the nodes of an ONNX graph in their order.

    Raises
    ------
    ValueError : an operator that the benchmark's nets do not have.
    """

    def __init__(self, path: str, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        unknown = {node.op_type for node in graph.node} - set(OPS)
        if unknown:
            raise ValueError(f"no ONNX operator {', '.join(sorted(unknown))} here")
        self.slots: dict[str, str] = {}
        for i, tensor in enumerate(graph.initializer):
            values = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            self.slots[tensor.name] = f"p{i}"
            self.register_buffer(
                f"p{i}", values.to(dtype) if values.is_floating_point() else values
            )
        self.nodes = [
            (
                OPS[node.op_type],
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
                list(node.input),
                node.output[0],
            )
            for node in graph.node
        ]
        self.input = graph.input[0].name
        self.output = graph.output[0].name

    def forward(self, x: Tensor) -> Tensor:
        values = {name: getattr(self, slot) for name, slot in self.slots.items()}
        values[self.input] = x
        for op, attributes, inputs, output in self.nodes:
            values[output] = op(attributes, *(values[name] for name in inputs if name))
        return values[self.output]
