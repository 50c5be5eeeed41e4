"""InnerProduct and the look-ups."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.interchange.onnx.graph import INT64, LayerGraph
from cmodel.net.shapes.rule import canonical_axis


def inner_product(layer: LayerGraph) -> Sequence[str]:
    """Flatten, Gemm, and the axes before the product's own again."""
    param = layer.layer.param.inner_product_param
    axis = canonical_axis(layer.layer, param.axis, len(layer.bottoms[0]))
    x = layer.x[0]
    if len(layer.bottoms[0]) != 2 or axis != 1:
        x = layer.node("Flatten", x, axis=axis)
    operands = [layer.parameter(i) for i in range(len(layer.parameters))]
    y = layer.node("Gemm", x, *operands, transB=int(not param.transpose))
    return [y if axis == 1 else layer.reshape(y, layer.tops[0])]


def embed(layer: LayerGraph) -> Sequence[str]:
    """Rows of the weights, by number."""
    index = layer.node("Cast", layer.x[0], to=INT64)
    y = layer.node("Gather", layer.parameter(0), index)
    return [layer.node("Add", y, layer.parameter(1)) if len(layer.parameters) > 1 else y]


def batch_reindex(layer: LayerGraph) -> Sequence[str]:
    """Images of a batch, by number."""
    index = layer.node("Cast", layer.node("Reshape", layer.x[1], layer.integers([-1])), to=INT64)
    return [layer.node("Gather", layer.x[0], index)]


def parameter(layer: LayerGraph) -> Sequence[str]:
    """The layer's parameter itself."""
    return [layer.node("Identity", layer.parameter(0))]
