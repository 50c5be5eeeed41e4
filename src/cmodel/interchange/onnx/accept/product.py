"""Products of a blob and a constant matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.interchange.onnx.netbuilder import NodeView
from cmodel.tensors import Dense, Form


def gemm(node: NodeView) -> Sequence[str]:
    """An InnerProduct; factors go into its parameters."""
    if node.attribute("transA", 0):
        raise node.unsupported("a product with the transposed blob")
    weights = _scaled(node, 1, node.attribute("alpha", 1.0))
    by_row = bool(node.attribute("transB", 0))
    outputs = weights.shape[0 if by_row else 1]
    forms = [weights]
    if node.has(2):
        bias = _scaled(node, 2, node.attribute("beta", 1.0))
        if bias.shape not in ((outputs,), (1, outputs)):
            node.spend(prod(bias.shape) + outputs)
            values = bias.to_dense()
            if values.ndim > 1 and values.shape[:-1] != (1,) * (values.ndim - 1):
                raise node.unsupported(f"a bias of shape {bias.shape} for {outputs} outputs")
            bias = Dense(np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (outputs,))))
        forms.append(bias)
    fields = {"num_output": outputs, "bias_term": len(forms) > 1, "transpose": not by_row}
    return [node.add("InnerProduct", [node.bottom()], forms, inner_product_param=fields)]


def _scaled(node: NodeView, index: int, factor: float) -> Form:
    return node.form(index) if factor == 1 else Dense(node.floats(index) * np.float32(factor))


def matmul(node: NodeView) -> Sequence[str]:
    """An InnerProduct over the last axis."""
    weights, rank = node.form(1), len(node.shape())
    if len(weights.shape) != 2 or rank < 2:
        raise node.unsupported(f"a product of {rank} axes and a constant of {weights.shape}")
    fields = {
        "num_output": weights.shape[1],
        "bias_term": False,
        "transpose": True,
        "axis": rank - 1,
    }
    return [node.add("InnerProduct", [node.bottom()], [weights], inner_product_param=fields)]
