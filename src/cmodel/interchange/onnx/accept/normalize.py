"""BatchNormalization, LRN and the softmaxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.interchange.onnx.netbuilder import NodeView
from cmodel.tensors import Dense


def batch_normalization(node: NodeView) -> Sequence[str]:
    """BatchNorm and Scale."""
    if node.attribute("training_mode", 0):
        raise node.unsupported("statistics of the batch", "export the model for inference")
    scale, bias, mean, variance = (node.form(i) for i in range(1, 5))
    fields = {"eps": node.attribute("epsilon", 1e-5), "use_global_stats": True}
    one = Dense(np.ones(1, np.float32))
    y = node.add("BatchNorm", [node.bottom()], [mean, variance, one], batch_norm_param=fields)
    if len(node.shape()) < 2:
        raise node.unsupported(f"a blob of shape {node.shape()}")
    if (node.floats(1) == 1).all() and (node.floats(2) == 0).all():
        return [y]
    return [node.add("Scale", [y], [scale, bias], scale_param={"bias_term": True})]


def lrn(node: NodeView) -> Sequence[str]:
    """LRN across channels."""
    fields = {
        "local_size": node.attribute("size"),
        "alpha": node.attribute("alpha", 1e-4),
        "beta": node.attribute("beta", 0.75),
        "k": node.attribute("bias", 1.0),
    }
    return [node.add("LRN", [node.bottom()], lrn_param=fields)]


def softmax(node: NodeView) -> Sequence[str]:
    """Along one axis; before opset 13 over all axes from there on."""
    old, rank = node.net.opset < 13, len(node.shape())
    axis = node.attribute("axis", 1 if old else -1) % rank
    if old and any(n != 1 for n in node.shape()[axis + 1 :]):
        raise node.unsupported(f"a softmax over the axes from {axis} on of {node.shape()}")
    return [node.add("Softmax", [node.bottom()], softmax_param={"axis": axis})]


def log_softmax(node: NodeView) -> Sequence[str]:
    """Softmax and Log."""
    return [node.add("Log", softmax(node))]
