"""The tensor forms and their exact meaning as float32.

`to_dense` is exact to the bit: copies keep the 32-bit words, and where a form needs arithmetic
(`Linear`) the operation and its rounding are fixed by the container's specification.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.integer[Any]]


def size_of(shape: Shape) -> int:
    """Return the number of elements of `shape` as an exact Python integer."""
    return prod(shape)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, eq=False)
class Dense:
    """All values as they are: `values` of any shape; float32, or float16 that widens exactly."""

    values: NDArray[np.float32] | NDArray[np.float16]

    def __post_init__(self) -> None:
        _check(
            self.values.dtype in (np.dtype(np.float32), np.dtype(np.float16)),
            f"Dense holds float32 or float16, not {self.values.dtype}",
        )

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.values.shape

    def to_dense(self) -> FloatArray:
        """Return the float32 values; a view where they are stored as such."""
        return self.values.astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Codebook:
    """Shared values: element i is `centroids[indices[i]]` (Deep Compression, section 3).

    `centroids` is a 1-D float32 array of 1 to 65,536 entries; `indices` has the tensor's shape and
    is uint8 or uint16.
    """

    centroids: FloatArray
    indices: IntArray

    def __post_init__(self) -> None:
        _check(
            self.centroids.dtype == np.float32 and self.centroids.ndim == 1,
            "centroids are a 1-D float32 array",
        )
        _check(
            1 <= self.centroids.size <= 65536,
            f"a codebook has 1 to 65,536 entries, not {self.centroids.size}",
        )
        _check(
            self.indices.dtype in (np.dtype(np.uint8), np.dtype(np.uint16)),
            f"indices are uint8 or uint16, not {self.indices.dtype}",
        )
        if self.indices.size:
            _check(
                int(self.indices.max()) < self.centroids.size,
                "an index lies outside the codebook",
            )

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.indices.shape

    def to_dense(self) -> FloatArray:
        """Look every index up in the codebook; bits are copied."""
        # Words, not floats: a NaN's payload survives.
        words: NDArray[np.uint32] = self.centroids.view(np.uint32)[self.indices]
        return words.view(np.float32).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Linear:
    """Fixed point: element i is ``scale * (ints[i] - zero)``, one rounding to float32.

    `ints` has the tensor's shape and is int8, uint8, int16 or uint16. `scales` (float32, finite)
    and `zeros` (int32) have one entry for the whole tensor, or one for each index of axis 0.
    """

    scales: FloatArray
    zeros: NDArray[np.int32]
    ints: IntArray

    def __post_init__(self) -> None:
        _check(self.scales.dtype == np.float32 and self.scales.ndim == 1, "scales are 1-D float32")
        _check(bool(np.isfinite(self.scales).all()), "scales are finite")
        _check(
            self.zeros.dtype == np.int32 and self.zeros.shape == self.scales.shape,
            "zeros are int32, one for each scale",
        )
        _check(
            self.ints.dtype in [np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.uint16)],
            f"ints are 8 or 16 bit, not {self.ints.dtype}",
        )
        rows = self.ints.shape[0] if self.ints.ndim else 1
        _check(
            self.scales.size in (1, rows),
            f"{self.scales.size} scales fit neither the tensor nor its {rows} rows",
        )

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.ints.shape

    def to_dense(self) -> FloatArray:
        """Return scale * (int - zero): the difference is exact, the product rounds once."""
        per_row = (-1,) + (1,) * (self.ints.ndim - 1) if self.scales.size > 1 else ()
        zeros = self.zeros.reshape(per_row)
        difference = (self.ints.astype(np.int32) - zeros).astype(np.float32)
        dense: FloatArray = difference * self.scales.reshape(per_row)
        # A zero is +0 whatever the sign of its scale.
        dense += np.float32(0)
        return dense


@dataclass(frozen=True, eq=False)
class Sparse:
    """Mostly zeros: `values[j]` stands at flat position `positions[j]`, +0 everywhere else.

    `positions` is a strictly increasing 1-D int64 array (C order); `values` is a form of shape
    ``(len(positions),)``.
    """

    dense_shape: Shape
    positions: NDArray[np.int64]
    values: Form

    def __post_init__(self) -> None:
        positions = self.positions
        _check(
            positions.dtype == np.int64 and positions.ndim == 1, "positions are a 1-D int64 array"
        )
        _check(
            self.values.shape == positions.shape,
            f"{positions.size} positions for values of shape {self.values.shape}",
        )
        if positions.size:
            _check(
                int(positions[0]) >= 0 and int(positions[-1]) < size_of(self.dense_shape),
                "a position lies outside the tensor",
            )
            _check(bool((np.diff(positions) > 0).all()), "positions increase strictly")

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.dense_shape

    @property
    def density(self) -> float:
        """Fraction of the elements that are stored."""
        return self.positions.size / max(size_of(self.dense_shape), 1)

    def to_dense(self) -> FloatArray:
        """Scatter the values into zeros."""
        dense = np.zeros(size_of(self.dense_shape), np.uint32)
        dense[self.positions] = self.values.to_dense().view(np.uint32)
        return dense.view(np.float32).reshape(self.dense_shape)


Form = Dense | Codebook | Linear | Sparse


def crc32_of(form: Form) -> int:
    """CRC-32 (zlib's) of the decoded values as little-endian float32 in C order."""
    dense = np.ascontiguousarray(form.to_dense(), dtype="<f4")
    return zlib.crc32(dense.reshape(-1).view(np.uint8).data)
