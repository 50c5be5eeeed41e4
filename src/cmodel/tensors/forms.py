"""The tensor forms and their exact meaning as float32.

`to_dense` is exact to the bit: copies keep the 32-bit words, and where a form needs arithmetic
(`Linear`, `Trellis`, `Product`) the operations, their order and their rounding are fixed by the
container's specification. Only a rotation is outside of that (see `Product`).

A tensor of N elements may be cut into g groups: element i, in C order, is in group i // (N / g).
So 1 group is the whole tensor, shape[0] groups are its rows (output channels).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel import _forms
from cmodel.tensors.hashing import buckets_and_signs
from cmodel.tensors.trellis import STATES
from cmodel.threads import thread_count

Shape = tuple[int, ...]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.integer[Any]]

# A bfloat16 is the upper half of a float32; NumPy has no type for it, its words are uint16.
BFLOAT16 = np.dtype(np.uint16)
MAX_ENTRIES = 65536
# Elements that are decoded at a time where that takes several arrays.
BLOCK = 1 << 18


def size_of(shape: Shape) -> int:
    """Return the number of elements of `shape` as an exact Python integer."""
    return prod(shape)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _flat(indices: IntArray) -> Any:
    return np.ascontiguousarray(indices).reshape(-1)


def _blocks_of(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Cut a matrix into blocks of about BLOCK elements: whole rows, or parts of one."""
    if columns <= BLOCK:
        step = max(1, BLOCK // max(1, columns))
        for start in range(0, rows, step):
            yield slice(start, start + step), slice(0, columns)
    else:
        for row in range(rows):
            for start in range(0, columns, BLOCK):
                yield slice(row, row + 1), slice(start, start + BLOCK)


def _threads_for(size: int) -> int:
    """Waking threads pays only for work of about a millisecond and more."""
    return thread_count() if size >= 1 << 20 else 1


def _check_type(array: NDArray[Any], what: str, *types: type) -> None:
    names = " or ".join(np.dtype(kind).name for kind in types)
    _check(array.dtype in [np.dtype(kind) for kind in types], f"{what}: {names}, not {array.dtype}")


def _check_groups(groups: int, shape: Shape) -> None:
    size = size_of(shape)
    _check(groups > 0 and size % groups == 0, f"{groups} groups for {size} elements")


@dataclass(frozen=True, eq=False)
class Dense:
    """All values as they are, of any shape.

    `values` is float32; or float16, or bfloat16 as uint16 words, which widen exactly.
    """

    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.uint16]

    def __post_init__(self) -> None:
        _check_type(self.values, "values", np.float32, np.float16, np.uint16)

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.values.shape

    def to_dense(self) -> FloatArray:
        """Return the float32 values; a view where they are stored as such."""
        if self.values.dtype == BFLOAT16:
            widened: NDArray[np.uint32] = self.values.astype(np.uint32) << np.uint32(16)
            return widened.view(np.float32)
        return self.values.astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Codebook:
    """Shared values (Deep Compression, section 3): element i is an entry of its group's codebook.

    centroids : a form of shape (groups, entries), 1 to 65,536 entries; finite unless Dense float32.
    indices : the tensor's shape, uint8 or uint16; element i is centroids[group of i, indices[i]].
    """

    centroids: Form
    indices: IntArray

    def __post_init__(self) -> None:
        _check(len(self.centroids.shape) == 2, "centroids have the shape (groups, entries)")
        _check(
            1 <= self.entries <= MAX_ENTRIES,
            f"a codebook has 1 to {MAX_ENTRIES} entries, not {self.entries}",
        )
        _check_type(self.indices, "indices", np.uint8, np.uint16)
        _check_groups(self.groups, self.shape)
        if self.indices.size:
            largest = _forms.index_max(_flat(self.indices), _threads_for(self.indices.size))
            _check(largest < self.entries, "an index lies outside the codebook")

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.indices.shape

    @property
    def groups(self) -> int:
        """Number of codebooks."""
        return self.centroids.shape[0]

    @property
    def entries(self) -> int:
        """Entries of each codebook."""
        return self.centroids.shape[1]

    def to_dense(self) -> FloatArray:
        """Look every index up in its codebook; bits are copied."""
        # Words, not floats: a NaN's payload survives.
        words = np.ascontiguousarray(self.centroids.to_dense()).view(np.uint32)
        dense = np.empty(self.indices.size, np.uint32)
        _forms.codebook_decode(words, _flat(self.indices), _threads_for(dense.size), dense)
        return dense.view(np.float32).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Linear:
    """Fixed point: element i is ``scale * (ints[i] - zero)``, one rounding to float32.

    ints : the tensor's shape; int8, uint8, int16 or uint16.
    scales : a form of shape (groups,), finite.
    zeros : int32, one for each group, at most 2^23 in magnitude.
    """

    scales: Form
    zeros: NDArray[np.int32]
    ints: IntArray

    def __post_init__(self) -> None:
        _check(len(self.scales.shape) == 1, "scales are 1-D")
        _check(bool(np.isfinite(self.scales.to_dense()).all()), "scales are finite")
        _check_type(self.zeros, "zeros", np.int32)
        _check(self.zeros.shape == self.scales.shape, "there is one zero for each scale")
        _check(bool((np.abs(self.zeros) <= 1 << 23).all()), "a zero is beyond 2^23")
        _check_type(self.ints, "ints", np.int8, np.uint8, np.int16, np.uint16)
        _check_groups(self.groups, self.shape)

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.ints.shape

    @property
    def groups(self) -> int:
        """Number of scales."""
        return self.scales.shape[0]

    def to_dense(self) -> FloatArray:
        """Return scale * (int - zero): the difference is exact, the product rounds once."""
        scales = self.scales.to_dense()
        ints = self.ints.reshape(self.groups, self.ints.size // self.groups)
        dense = np.empty(ints.shape, np.float32)
        # Block by block, so that no second array of the tensor's size is needed.
        for rows, columns in _blocks_of(*ints.shape):
            difference = ints[rows, columns].astype(np.int32) - self.zeros[rows, None]
            # A product beyond float32's range is infinite, which the specification allows.
            with np.errstate(over="ignore"):
                product = difference.astype(np.float32) * scales[rows, None]
            # A zero is +0 whatever the sign of its scale.
            dense[rows, columns] = product + np.float32(0)
        return dense.reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Sparse:
    """Mostly zeros: blocks of stored values, +0 everywhere else.

    The tensor is a matrix of shape[0] rows, cut into a grid of blocks of `block` = (height, width)
    that divide rows and columns; (1, 1) stores single elements of a tensor of any shape.

    positions : int64, strictly increasing indices into the grid of blocks in C order.
    values : a form of shape (positions * height * width,), block after block in C order.
    """

    dense_shape: Shape
    positions: NDArray[np.int64]
    values: Form
    block: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        positions, size = self.positions, size_of(self.dense_shape)
        _check(positions.dtype == np.int64 and positions.ndim == 1, "positions are 1-D int64")
        area = self.block[0] * self.block[1]
        _check(
            self.values.shape == (positions.size * area,),
            f"{positions.size} positions for values of shape {self.values.shape}",
        )
        if self.block != (1, 1):
            rows, columns = self._matrix
            _check(
                area > 0 and rows % self.block[0] == 0 and columns % self.block[1] == 0,
                f"blocks of {self.block} do not divide a matrix of {rows} x {columns}",
            )
        if positions.size:
            _check(
                int(positions[0]) >= 0 and int(positions[-1]) < size // area,
                "a position lies outside the tensor",
            )
            _check(bool((np.diff(positions) > 0).all()), "positions increase strictly")

    @property
    def _matrix(self) -> tuple[int, int]:
        rows = self.dense_shape[0] if self.dense_shape else 1
        return rows, size_of(self.dense_shape[1:])

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.dense_shape

    @property
    def density(self) -> float:
        """Fraction of the elements that are stored."""
        return self.values.shape[0] / max(size_of(self.dense_shape), 1)

    def to_dense(self) -> FloatArray:
        """Scatter the values into zeros."""
        dense = np.zeros(size_of(self.dense_shape), np.uint32)
        words = self.values.to_dense().view(np.uint32)
        height, width = self.block
        if self.block == (1, 1):
            dense[self.positions] = words
        else:
            rows, columns = self._matrix
            grid = dense.reshape(rows // height, height, columns // width, width)
            row, column = np.divmod(self.positions, columns // width)
            grid.transpose(0, 2, 1, 3)[row, column] = words.reshape(-1, height, width)
        return dense.view(np.float32).reshape(self.dense_shape)


@dataclass(frozen=True, eq=False)
class Product:
    """Product codes (Jegou 2011; Gong 2014), residual stages (Gong 2014), rotated (Norouzi 2013).

    The tensor, its axes brought into the order `axes`, is a matrix of V rows of dimension D; each
    row is S = D / d blocks of dimension d. A block is the sum over the T stages of one codeword
    each; the sum runs from stage 0 on in float64 and is rounded once to float32.

    dense_shape, axes : the tensor's shape, and a permutation of its axes.
    codebooks : a form of shape (T, C, K, d); C = S, or 1 where all blocks share one codebook.
    codes : (T, V, S), uint8 or uint16, below K.
    rotation : float32 (D, D) or None. With it a row is rotation @ blocks, in float32 arithmetic
        that is not fixed to the bit; `blocks` are.
    """

    dense_shape: Shape
    axes: tuple[int, ...]
    codebooks: Form
    codes: IntArray
    rotation: FloatArray | None = None

    def __post_init__(self) -> None:
        _check(sorted(self.axes) == list(range(len(self.dense_shape))), "axes are a permutation")
        _check(len(self.codebooks.shape) == 4, "codebooks have the shape (T, C, K, d)")
        _check_type(self.codes, "codes", np.uint8, np.uint16)
        _check(self.codes.ndim == 3, "codes have the shape (T, V, S)")
        stages, books, entries, dimension = self.codebooks.shape
        _check(self.codes.shape[0] == stages, "as many stages of codes as of codebooks")
        _check(books in (1, self.codes.shape[2]), "one codebook, or one for each block")
        _check(1 <= entries <= MAX_ENTRIES, f"a codebook has 1 to {MAX_ENTRIES} entries")
        _check(
            self.codes.shape[1] * self.codes.shape[2] * dimension == size_of(self.dense_shape),
            f"codes {self.codes.shape} of dimension {dimension} for shape {self.dense_shape}",
        )
        if self.codes.size:
            _check(int(self.codes.max()) < entries, "a code lies outside its codebook")
        if self.rotation is not None:
            size = self.codes.shape[2] * dimension
            _check_type(self.rotation, "rotation", np.float32)
            _check(self.rotation.shape == (size, size), f"a rotation of {size} dimensions")

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.dense_shape

    def blocks(self) -> FloatArray:
        """Return the rows before the rotation, (V, D), exact to the bit."""
        books = self.codebooks.to_dense()
        stages, vectors, spaces = self.codes.shape
        space = np.arange(spaces) if books.shape[1] > 1 else np.zeros(spaces, np.intp)
        blocks = np.empty((vectors, spaces, books.shape[3]), np.float32)
        # Some rows at a time, so that no second array of the tensor's size is needed.
        step = max(1, BLOCK // max(1, spaces * books.shape[3]))
        for start in range(0, vectors, step):
            rows = slice(start, start + step)
            total = books[0, space, self.codes[0, rows]].astype(np.float64)
            for stage in range(1, stages):
                total += books[stage, space, self.codes[stage, rows]]
            blocks[rows] = total
        return blocks.reshape(vectors, spaces * books.shape[3])

    def to_dense(self) -> FloatArray:
        """Return the float32 values."""
        rows = self.blocks()
        if self.rotation is not None:
            rows = rows @ self.rotation.T
        permuted = rows.reshape([self.dense_shape[axis] for axis in self.axes])
        return np.ascontiguousarray(permuted.transpose(np.argsort(self.axes)))


@dataclass(frozen=True, eq=False)
class Hashed:
    """Random weight sharing (Chen 2015): element i is sign(i) * buckets[h(i)].

    buckets : a form of shape (B,), at least one.
    seed : of the hash, 0 to 2^32 - 1; `cmodel.tensors.hashing` has the hash.
    signed : whether the sign hash is applied (it flips the sign bit).
    """

    dense_shape: Shape
    buckets: Form
    seed: int
    signed: bool = True

    def __post_init__(self) -> None:
        _check(len(self.buckets.shape) == 1 and self.buckets.shape[0] > 0, "buckets are 1-D")
        _check(0 <= self.seed < 1 << 32, "a seed has 32 bits")

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.dense_shape

    def to_dense(self) -> FloatArray:
        """Look every element's bucket up."""
        buckets = self.buckets.to_dense().view(np.uint32)
        size = size_of(self.dense_shape)
        dense = np.empty(size, np.uint32)
        for start in range(0, size, BLOCK):
            stop = min(start + BLOCK, size)
            index, negative = buckets_and_signs(start, stop, buckets.size, self.seed)
            words = buckets[index]
            if self.signed:
                words ^= negative.astype(np.uint32) << np.uint32(31)
                # A zero is +0 whatever its sign hash.
                words[words == np.uint32(1 << 31)] = 0
            dense[start:stop] = words
        return dense.view(np.float32).reshape(self.dense_shape)


@dataclass(frozen=True, eq=False)
class Trellis:
    """Dependent quantization: element i is ``scale * level i``, one rounding to float32.

    The tensor is a matrix of shape[0] rows. In each, a trellis of `states` states leads from the
    integers to the levels (`cmodel.tensors.trellis`).

    ints : the tensor's shape; int8 or int16.
    scales : a form of shape (groups,), finite.
    states : 8.
    """

    scales: Form
    ints: IntArray
    states: int = STATES

    def __post_init__(self) -> None:
        _check(self.states == STATES, f"a trellis has {STATES} states, not {self.states}")
        _check(len(self.scales.shape) == 1, "scales are 1-D")
        _check(bool(np.isfinite(self.scales.to_dense()).all()), "scales are finite")
        _check_type(self.ints, "ints", np.int8, np.int16)
        _check_groups(self.groups, self.shape)

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.ints.shape

    @property
    def groups(self) -> int:
        """Number of scales."""
        return self.scales.shape[0]

    def to_dense(self) -> FloatArray:
        """Walk the trellis of each row; the product rounds once."""
        rows = self.shape[0] if self.shape else 1
        columns = size_of(self.shape[1:])
        ints: Any = np.ascontiguousarray(self.ints).reshape(rows, columns)
        dense = np.empty(ints.size, np.float32)
        scales = np.ascontiguousarray(self.scales.to_dense())
        _forms.trellis_decode(scales, ints, _threads_for(dense.size), dense)
        return dense.reshape(self.shape)


Form = Dense | Codebook | Linear | Sparse | Product | Hashed | Trellis


def stored_floats(form: Form) -> Sequence[NDArray[Any]]:
    """Return the arrays of floats that a form stores: values, centroids, scales, buckets."""
    match form:
        case Dense():
            return [form.to_dense()]
        case Codebook():
            return stored_floats(form.centroids)
        case Linear() | Trellis():
            return stored_floats(form.scales)
        case Sparse():
            return stored_floats(form.values)
        case Hashed():
            return stored_floats(form.buckets)
        case Product():
            rotation = [] if form.rotation is None else [form.rotation]
            return [*stored_floats(form.codebooks), *rotation]


def crc32_of(form: Form) -> int:
    """CRC-32 (zlib's) of the decoded values as little-endian float32 in C order.

    Of a rotated `Product` it is that of its blocks, which are what is exact to the bit.
    """
    if isinstance(form, Product) and form.rotation is not None:
        return crc32_of_values(form.blocks())
    return crc32_of_values(form.to_dense())


def crc32_of_values(values: FloatArray) -> int:
    """CRC-32 (zlib's) of little-endian float32 in C order."""
    dense = np.ascontiguousarray(values, dtype="<f4")
    return zlib.crc32(dense.reshape(-1).view(np.uint8).data)
