"""Tensor forms: how a network's parameters are held. Plain data, a small algebra."""

from cmodel.tensors.forms import (
    Codebook,
    Dense,
    FloatArray,
    Form,
    IntArray,
    Linear,
    Shape,
    Sparse,
    crc32_of,
    size_of,
)

__all__ = [
    "Codebook",
    "Dense",
    "FloatArray",
    "Form",
    "IntArray",
    "Linear",
    "Shape",
    "Sparse",
    "crc32_of",
    "size_of",
]
