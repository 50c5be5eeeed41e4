"""Nodes that reduce axes."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.interchange.onnx.accept.structure import reshaped
from cmodel.interchange.onnx.netbuilder import Acceptor, NodeView
from cmodel.proto import caffe_pb2

_POOLING = caffe_pb2.PoolingParameter
_KINDS = caffe_pb2.ReductionParameter


def reduction(operation: int) -> Acceptor:
    """Return the acceptor of a reduction over the last axes."""

    def accept(node: NodeView) -> Sequence[str]:
        shape = node.shape()
        rank = len(shape)
        axes = node.integers("axes", 1)
        if not axes:
            if node.attribute("noop_with_empty_axes", 0):
                return [node.bottom()]
            axes = list(range(rank))
        first = min(axis % rank for axis in axes)
        if sorted(axis % rank for axis in axes) != list(range(first, rank)) or first == 0:
            raise node.unsupported(f"Caffe reduces the last axes of an image, not {axes}")
        if operation == _KINDS.MEAN and rank == 4 and first == 2:
            fields = {"pool": _POOLING.AVE, "global_pooling": True}
            y = node.add("Pooling", [node.bottom()], pooling_param=fields)
        else:
            fields = {"operation": operation, "axis": first}
            y = node.add("Reduction", [node.bottom()], reduction_param=fields)
        ones = (1,) * (rank - first) if node.attribute("keepdims", 1) else ()
        return [reshaped(node, y, shape[:first] + ones)]

    return accept
