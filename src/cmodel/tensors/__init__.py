"""Tensor forms: how a network's parameters are held. Plain data, a small algebra."""

from cmodel.tensors.forms import (
    BFLOAT16,
    MAX_ENTRIES,
    Codebook,
    Dense,
    FloatArray,
    Form,
    Hashed,
    IntArray,
    Linear,
    Product,
    Shape,
    Sparse,
    crc32_of,
    crc32_of_values,
    size_of,
    stored_floats,
)

__all__ = [
    "BFLOAT16",
    "MAX_ENTRIES",
    "Codebook",
    "Dense",
    "FloatArray",
    "Form",
    "Hashed",
    "IntArray",
    "Linear",
    "Product",
    "Shape",
    "Sparse",
    "crc32_of",
    "crc32_of_values",
    "size_of",
    "stored_floats",
]
