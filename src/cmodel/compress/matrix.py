"""A layer's weights as matrices: what decompositions and calibrated methods work on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmodel.errors import RecipeError
from cmodel.net import Layer
from cmodel.tensors import FloatArray, Shape

Doubles = NDArray[np.float64]


def to_rows(layer: Layer, weights: FloatArray) -> FloatArray:
    """Return the weights of a Convolution or InnerProduct as (groups, rows, columns).

    Rows are outputs, columns the layer's inputs as `cmodel.compress.statistics` orders them.

    Raises
    ------
    RecipeError : the layer is of another type.
    """
    if layer.type == "InnerProduct":
        matrix = weights.T if layer.param.inner_product_param.transpose else weights
        return matrix[None]
    if layer.type == "Convolution":
        groups = layer.param.convolution_param.group
        return weights.reshape(groups, weights.shape[0] // groups, -1)
    raise RecipeError(
        f"the weights of `{layer.key}` ({layer.type}) are not rows of outputs",
        hint="select layers of the types Convolution and InnerProduct",
    )


def from_rows(layer: Layer, rows: NDArray[np.floating], shape: Shape) -> FloatArray:
    """Return rows (groups, rows, columns) as weights of `shape`: the inverse of `to_rows`."""
    if layer.type == "InnerProduct" and layer.param.inner_product_param.transpose:
        rows = rows.transpose(0, 2, 1)
    weights: FloatArray = np.ascontiguousarray(rows.reshape(shape), np.float32)
    return weights + np.float32(0)


def damped(gram: Doubles, damp: float) -> Doubles:
    """Return a Gram matrix (..., K, K) with `damp` times its mean diagonal added to the diagonal.

    Inputs that are always zero leave it singular otherwise. An all-zero matrix gets the identity.
    """
    size = gram.shape[-1]
    level = np.trace(gram, axis1=-2, axis2=-1) / size
    level = np.where(level > 0, level * damp, 1.0)
    return gram + level[..., None, None] * np.eye(size)


def response_error(rows: Doubles, gram: Doubles) -> float:
    """Return the mean square of (rows @ x) over inputs x with this Gram matrix: tr(D A Dᵀ)."""
    return float(np.einsum("grk,grk->", rows @ gram, rows))
