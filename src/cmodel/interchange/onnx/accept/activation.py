"""Nodes that change each element for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmodel.interchange.onnx.netbuilder import Acceptor, NodeView
from cmodel.proto import caffe_pb2

LARGEST = float(np.finfo(np.float32).max)
_PROD = caffe_pb2.EltwiseParameter.PROD


def plain(kind: str, **fields: Any) -> Acceptor:
    """Return the acceptor of a node that is one layer with fixed parameters."""

    def accept(node: NodeView) -> Sequence[str]:
        return [node.add(kind, [node.bottom()], **fields)]

    return accept


def product(node: NodeView, a: str, b: str) -> str:
    """Return a * b."""
    return node.add("Eltwise", [a, b], eltwise_param={"operation": _PROD})


def leaky_relu(node: NodeView) -> Sequence[str]:
    """A ReLU with a slope."""
    slope = node.attribute("alpha", 0.01)
    return [node.add("ReLU", [node.bottom()], relu_param={"negative_slope": slope})]


def prelu(node: NodeView) -> Sequence[str]:
    """A slope for all, or for each channel."""
    slope, shape = node.floats(1), node.shape()
    if slope.size == 1:
        shared = {"channel_shared": True}
        return [node.add("PReLU", [node.bottom()], [node.form(1)], prelu_param=shared)]
    wanted = (shape[1], *(1,) * (len(shape) - 2)) if len(shape) > 1 else ()
    if slope.shape not in (wanted, (1, *wanted)):
        raise node.unsupported(f"slopes of shape {slope.shape} for {shape}")
    return [node.add("PReLU", [node.bottom()], [node.form(1)])]


def clip(node: NodeView) -> Sequence[str]:
    """A Clip, or a ReLU where only 0 bounds it."""
    low = float(node.constant(1)) if node.has(1) else node.attribute("min")
    high = float(node.constant(2)) if node.has(2) else node.attribute("max")
    if low == 0 and (high is None or high >= LARGEST):
        return [node.add("ReLU", [node.bottom()])]
    bounds = {
        "min": -LARGEST if low is None else max(low, -LARGEST),
        "max": LARGEST if high is None else min(high, LARGEST),
    }
    return [node.add("Clip", [node.bottom()], clip_param=bounds)]


def elu(node: NodeView) -> Sequence[str]:
    """An ELU."""
    alpha = node.attribute("alpha", 1.0)
    return [node.add("ELU", [node.bottom()], elu_param={"alpha": alpha})]


def selu(node: NodeView) -> Sequence[str]:
    """A scaled ELU."""
    alpha = node.attribute("alpha", 1.67326319217681884765625)
    y = node.add("ELU", [node.bottom()], elu_param={"alpha": alpha})
    gamma = node.attribute("gamma", 1.05070102214813232421875)
    return [node.add("Power", [y], power_param={"scale": gamma})]


def _gate(node: NodeView, alpha: float, beta: float) -> str:
    """Return alpha x + beta, held between 0 and 1."""
    y = node.add("Power", [node.bottom()], power_param={"scale": alpha, "shift": beta})
    return node.add("Clip", [y], clip_param={"min": 0, "max": 1})


def hard_sigmoid(node: NodeView) -> Sequence[str]:
    """A Power and a Clip."""
    return [_gate(node, node.attribute("alpha", 0.2), node.attribute("beta", 0.5))]


def hard_swish(node: NodeView) -> Sequence[str]:
    """x times its hard sigmoid."""
    return [product(node, node.bottom(), _gate(node, 1 / 6, 0.5))]


def swish(node: NodeView) -> Sequence[str]:
    """x / (1 + exp(-alpha x))."""
    beta = node.attribute("alpha", 1.0)
    return [node.add("Swish", [node.bottom()], swish_param={"beta": beta})]


def mish(node: NodeView) -> Sequence[str]:
    """x tanh(log(1 + exp(x)))."""
    y = node.add("TanH", [node.add("BNLL", [node.bottom()])])
    return [product(node, node.bottom(), y)]
