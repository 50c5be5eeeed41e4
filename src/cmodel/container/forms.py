"""The tensor directory and its streams -> tensor forms (specification, section 5).

`read_form` reads a description without touching a stream: it gives a `Stored` form, which knows its
facts and decodes on demand. `cmodel.container.form_writer` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.codecs import mask, relindex
from cmodel.container.streams import Cursor, Ints, Source, StreamRef, Words
from cmodel.errors import BadManifest, BadStream, UnknownFeature
from cmodel.net import Shape
from cmodel.tensors import (
    MAX_ENTRIES,
    Codebook,
    Dense,
    Form,
    Hashed,
    Linear,
    Product,
    Sparse,
    Trellis,
    size_of,
)
from cmodel.tensors.trellis import STATES

DENSE, CODEBOOK, LINEAR, SPARSE, PRODUCT, HASHED, TRELLIS = range(7)
MAX_DIMENSIONS = 32
MAX_ELEMENTS = 1 << 40
MAX_ZERO = 1 << 23
MAX_BUCKETS = (1 << 32) - 1

# Variant numbers of the types, in the order of the specification.
FLOATS: list[np.dtype[Any]] = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.uint16)]
_FLOAT_NAMES = ["f32", "f16", "bf16"]
INTS: list[np.dtype[Any]] = [np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.uint16)]
_U8 = np.dtype(np.uint8)
_U16 = np.dtype(np.uint16)

RELATIVE = 0

Facts = dict[str, Any]


def index_type(entries: int) -> np.dtype[Any]:
    """Return the type of indices into `entries` entries."""
    return _U8 if entries <= 256 else _U16


def unsigned_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned type of the size of an integer type."""
    return _U8 if dtype.itemsize == 1 else _U16


@dataclass(frozen=True)
class StoredDense:
    """A dense tensor in a file."""

    shape: Shape
    words: Words

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams in the order of the file."""
        yield self.words.ref

    def facts(self) -> Facts:
        """Return what the directory says of it."""
        return {"form": f"dense {_FLOAT_NAMES[FLOATS.index(self.words.dtype)]}"}

    def decode(self, source: Source) -> Dense:
        """Decode it."""
        return Dense(source.words(self.words).reshape(self.shape))


@dataclass(frozen=True)
class StoredCodebook:
    """A codebook tensor in a file."""

    shape: Shape
    entries: int
    centroids: Stored
    indices: Ints

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams in the order of the file."""
        yield from self.centroids.streams()
        yield self.indices.ref

    def facts(self) -> Facts:
        """Return what the directory says of it."""
        groups = self.centroids.shape[0]
        form = f"codebook {self.entries}" + (f" x {groups}" if groups != 1 else "")
        return {"form": form, "entries": self.entries, "groups": groups}

    def decode(self, source: Source) -> Codebook:
        """Decode it."""
        indices = source.ints(self.indices).reshape(self.shape)
        centroids = self.centroids.decode(source)
        try:
            return Codebook(centroids, indices)
        except ValueError as error:
            raise BadStream(str(error)) from error


@dataclass(frozen=True)
class StoredLinear:
    """A fixed-point tensor in a file."""

    shape: Shape
    dtype: np.dtype[Any]
    lowest: int
    scales: Stored
    base: int
    zeros: tuple[Ints, Ints] | None
    ints: Ints

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams in the order of the file."""
        yield from self.scales.streams()
        for half in self.zeros or ():
            yield half.ref
        yield self.ints.ref

    def facts(self) -> Facts:
        """Return what the directory says of it."""
        bits, groups = 8 * self.dtype.itemsize, self.scales.shape[0]
        return {
            "form": f"linear {bits}" + (f" x {groups}" if groups != 1 else ""),
            "groups": groups,
        }

    def decode(self, source: Source) -> Linear:
        """Decode it."""
        scales = _decode_scales(self.scales, source)
        zeros = np.zeros(self.scales.shape, np.int64)
        if self.zeros is not None:
            low, high = (source.ints(half).astype(np.int64) for half in self.zeros)
            zeros = self.base + low + (high << 16)
            if zeros.size and int(np.abs(zeros).max()) > MAX_ZERO:
                raise BadStream("a zero is out of range")
        ints = _decode_signed(self.ints, self.lowest, self.dtype, source)
        return Linear(scales, zeros.astype(np.int32), ints.reshape(self.shape))


@dataclass(frozen=True)
class StoredSparse:
    """A sparse tensor in a file; `positions` are gaps, a bitmap, or a mask."""

    shape: Shape
    block: tuple[int, int]
    count: int
    gap_bits: int
    positions: Ints | Words | StreamRef
    values: Stored

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams in the order of the file."""
        positions = self.positions
        yield positions if isinstance(positions, StreamRef) else positions.ref
        yield from self.values.streams()

    def facts(self) -> Facts:
        """Return what the directory says of it."""
        inner = self.values.facts()
        density = self.values.shape[0] / max(size_of(self.shape), 1)
        block = "" if self.block == (1, 1) else f"{self.block[0]}x{self.block[1]} "
        return {**inner, "form": f"sparse({block}{inner['form']})", "density": density}

    def decode(self, source: Source) -> Sparse:
        """Decode it."""
        positions = self._decode_positions(source)
        return Sparse(self.shape, positions, self.values.decode(source), self.block)

    def _decode_positions(self, source: Source) -> NDArray[np.int64]:
        rows = (self.shape[0] if self.shape else 1) // self.block[0]
        blocks = size_of(self.shape) // (self.block[0] * self.block[1])
        source.check_elements(self.count, 8)
        match self.positions:
            case Ints() as gaps:
                return relindex.decode(source.ints(gaps), self.count, blocks, self.gap_bits)
            case Words() as bitmap:
                source.check_elements(blocks, 1)
                bits = np.unpackbits(source.words(bitmap), bitorder="little")
                positions = np.flatnonzero(bits).astype(np.int64)
                if positions.size != self.count or (positions >= blocks).any():
                    raise BadStream("the bitmap does not have as many bits as there are values")
                return positions
            case ref:
                columns = blocks // rows if rows else 0
                source.check_elements(columns, 3)
                return mask.decode(source.bytes(ref), rows, columns, self.count)


@dataclass(frozen=True)
class StoredProduct:
    """A product-quantized tensor in a file."""

    shape: Shape
    axes: tuple[int, ...]
    codebooks: Stored
    codes: Ints
    codes_shape: Shape
    rotation: Stored | None

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams in the order of the file."""
        yield from self.codebooks.streams()
        yield self.codes.ref
        if self.rotation is not None:
            yield from self.rotation.streams()

    def facts(self) -> Facts:
        """Return what the directory says of it."""
        stages, books, entries, dimension = self.codebooks.shape
        text = f"product {stages}x{self.codes_shape[2]}x{entries} d{dimension}"
        if self.rotation is not None:
            text += " rotated"
        return {"form": text, "entries": entries, "stages": stages, "codebooks": books}

    def decode(self, source: Source) -> Product:
        """Decode it."""
        codes = source.ints(self.codes).reshape(self.codes_shape)
        if codes.size and int(codes.max()) >= self.codebooks.shape[2]:
            raise BadStream("a code lies outside its codebook")
        rotation = None if self.rotation is None else self.rotation.decode(source).to_dense()
        return Product(self.shape, self.axes, self.codebooks.decode(source), codes, rotation)


@dataclass(frozen=True)
class StoredHashed:
    """A hashed tensor in a file."""

    shape: Shape
    buckets: Stored
    seed: int
    signed: bool

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams in the order of the file."""
        yield from self.buckets.streams()

    def facts(self) -> Facts:
        """Return what the directory says of it."""
        return {"form": f"hashed({self.buckets.facts()['form']})", "buckets": self.buckets.shape[0]}

    def decode(self, source: Source) -> Hashed:
        """Decode it."""
        return Hashed(self.shape, self.buckets.decode(source), self.seed, self.signed)


@dataclass(frozen=True)
class StoredTrellis:
    """A tensor of dependent quantization in a file."""

    shape: Shape
    dtype: np.dtype[Any]
    lowest: int
    states: int
    scales: Stored
    ints: Ints

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams in the order of the file."""
        yield from self.scales.streams()
        yield self.ints.ref

    def facts(self) -> Facts:
        """Return what the directory says of it."""
        bits, groups = 8 * self.dtype.itemsize, self.scales.shape[0]
        form = f"trellis {bits}" + (f" x {groups}" if groups != 1 else "")
        return {"form": form, "groups": groups, "states": self.states}

    def decode(self, source: Source) -> Trellis:
        """Decode it."""
        scales = _decode_scales(self.scales, source)
        ints = _decode_signed(self.ints, self.lowest, self.dtype, source)
        return Trellis(scales, ints.reshape(self.shape), self.states)


def _decode_scales(stored: Stored, source: Source) -> Form:
    scales = stored.decode(source)
    if not np.isfinite(scales.to_dense()).all():
        raise BadStream("a scale is not finite")
    return scales


def _decode_signed(
    ints: Ints, lowest: int, dtype: np.dtype[Any], source: Source
) -> NDArray[np.integer[Any]]:
    coded = source.ints(ints)
    if coded.size and int(coded.max()) + lowest > np.iinfo(dtype).max:
        raise BadStream("an integer is out of range")
    # Unsigned addition wraps as two's complement does, so no wider copy is needed.
    low_bits = lowest & ((1 << 8 * dtype.itemsize) - 1)
    signed: NDArray[np.integer[Any]] = (coded + coded.dtype.type(low_bits)).view(dtype)
    return signed


Stored = (
    StoredDense
    | StoredCodebook
    | StoredLinear
    | StoredSparse
    | StoredProduct
    | StoredHashed
    | StoredTrellis
)

# What may stand within which form.
_FLOAT_FORMS = frozenset({DENSE})
_LEVEL_FORMS = frozenset({DENSE, LINEAR})
_VALUE_FORMS = frozenset({DENSE, CODEBOOK, LINEAR})
_ALL_FORMS = frozenset(range(7))


def read_shape(cursor: Cursor) -> Shape:
    """Read a shape and check it against the limits."""
    rank = cursor.reader.varint(MAX_DIMENSIONS)
    shape = tuple(cursor.reader.varint() for _ in range(rank))
    if size_of(shape) > MAX_ELEMENTS:
        raise BadManifest(f"a tensor of shape {shape} is beyond the format's limits")
    return shape


def read_form(
    cursor: Cursor, shape: Shape, name: str = "", allowed: frozenset[int] = _ALL_FORMS
) -> Stored:
    """Read the description of a form; `name` prefixes the names of its streams."""
    head = cursor.reader.byte()
    kind, variant = head & 15, head >> 4
    if kind not in _ALL_FORMS:
        raise UnknownFeature(f"the tensor form {kind} is not known")
    if kind not in allowed:
        raise BadManifest(f"a form of kind {kind} may not stand at `{name}`")
    match kind:
        case 0:
            if variant & 3 >= len(FLOATS) or variant & 8:
                raise UnknownFeature(f"the variant {variant} of a dense form is not known")
            dtype, planes = FLOATS[variant & 3], bool(variant & 4)
            words = cursor.words(f"{name}values", size_of(shape), dtype, planes=planes)
            return StoredDense(shape, words)
        case 1:
            return _read_codebook(cursor, shape, name, variant)
        case 2:
            return _read_linear(cursor, shape, name, variant)
        case 3:
            return _read_sparse(cursor, shape, name, variant)
        case 4:
            return _read_product(cursor, shape, name, variant)
        case 6:
            return _read_trellis(cursor, shape, name, variant)
        case _:
            _check_variant(variant, 1)
            buckets = _positive(cursor.reader.varint(MAX_BUCKETS), "buckets")
            seed = cursor.reader.word()
            inner = read_form(cursor, (buckets,), f"{name}buckets.", _VALUE_FORMS)
            return StoredHashed(shape, inner, seed, bool(variant & 1))


def _check_variant(variant: int, known: int) -> None:
    if variant & ~known:
        raise UnknownFeature(f"the variant {variant} of a form is not known")


def _positive(value: int, what: str) -> int:
    if value < 1:
        raise BadManifest(f"a form without {what}")
    return value


def _read_groups(cursor: Cursor, shape: Shape, stated: bool) -> int:
    groups = _positive(cursor.reader.varint(), "groups") if stated else 1
    if size_of(shape) % groups:
        raise BadManifest(f"{groups} groups for a tensor of shape {shape}")
    return groups


def _read_lowest(cursor: Cursor, dtype: np.dtype[Any]) -> int:
    lowest = cursor.reader.zigzag(1 << 16)
    bounds = np.iinfo(dtype)
    if not bounds.min <= lowest <= bounds.max:
        raise BadManifest(f"the lowest integer {lowest} is out of range")
    return lowest


def _read_codebook(cursor: Cursor, shape: Shape, name: str, variant: int) -> StoredCodebook:
    _check_variant(variant, 1)
    groups = _read_groups(cursor, shape, bool(variant & 1))
    entries = _positive(cursor.reader.varint(MAX_ENTRIES), "entries")
    centroids = read_form(cursor, (groups, entries), f"{name}centroids.", _LEVEL_FORMS)
    indices = cursor.ints(f"{name}indices", size_of(shape), index_type(entries))
    return StoredCodebook(shape, entries, centroids, indices)


def _read_linear(cursor: Cursor, shape: Shape, name: str, variant: int) -> StoredLinear:
    dtype = INTS[variant & 3]
    groups = _read_groups(cursor, shape, bool(variant & 4))
    lowest = _read_lowest(cursor, dtype)
    scales = read_form(cursor, (groups,), f"{name}scales.", _FLOAT_FORMS)
    base, zeros = 0, None
    if variant & 8:
        base = cursor.reader.zigzag(MAX_ZERO)
        low = cursor.ints(f"{name}zeros.low", groups, _U16)
        zeros = (low, cursor.ints(f"{name}zeros.high", groups, _U16))
    ints = cursor.ints(f"{name}ints", size_of(shape), unsigned_of(dtype))
    return StoredLinear(shape, dtype, lowest, scales, base, zeros, ints)


def _read_trellis(cursor: Cursor, shape: Shape, name: str, variant: int) -> StoredTrellis:
    _check_variant(variant, 3)
    dtype = np.dtype(np.int16 if variant & 1 else np.int8)
    groups = _read_groups(cursor, shape, bool(variant & 2))
    states = cursor.reader.varint()
    if states != STATES:
        raise UnknownFeature(f"a trellis of {states} states is not known")
    lowest = _read_lowest(cursor, dtype)
    if lowest > 0:
        raise BadManifest(f"the lowest integer of a trellis is {lowest}, at most 0")
    scales = read_form(cursor, (groups,), f"{name}scales.", _FLOAT_FORMS)
    ints = cursor.ints(f"{name}ints", size_of(shape), unsigned_of(dtype))
    return StoredTrellis(shape, dtype, lowest, states, scales, ints)


def _read_sparse(cursor: Cursor, shape: Shape, name: str, variant: int) -> StoredSparse:
    _check_variant(variant, 7)
    block = (1, 1)
    if variant & 1:
        height = _positive(cursor.reader.varint(), "a block height")
        width = _positive(cursor.reader.varint(), "a block width")
        block = (height, width)
        rows = shape[0] if shape else 1
        if block == (1, 1) or rows % height or size_of(shape[1:]) % width:
            raise BadManifest(f"blocks of {block} in a tensor of shape {shape}")
    area = block[0] * block[1]
    blocks = size_of(shape) // area
    count = cursor.reader.varint()
    if count > blocks:
        raise BadManifest(f"{count} values in a sparse tensor of {blocks}")
    gap_bits = 0
    positions: Ints | Words | StreamRef
    match variant >> 1:
        case 0:
            gap_bits = _positive(cursor.reader.varint(8), "gap bits")
            symbols = cursor.reader.varint()
            if not count <= symbols <= count + blocks // ((1 << gap_bits) - 1):
                raise BadManifest(f"{symbols} gap symbols cannot place {count} values")
            positions = cursor.ints(f"{name}gaps", symbols, _U8)
        case 1:
            positions = cursor.words(f"{name}bitmap", -(-blocks // 8), _U8)
        case 2:
            if blocks > mask.MAX_SIZE:
                raise BadManifest(f"a mask of {blocks} elements, at most {mask.MAX_SIZE}")
            positions = cursor.opaque(f"{name}mask", "mask")
        case coder:
            raise UnknownFeature(f"the position coder {coder} of a sparse form is not known")
    values = read_form(cursor, (count * area,), f"{name}values.", _VALUE_FORMS)
    return StoredSparse(shape, block, count, gap_bits, positions, values)


def _read_product(cursor: Cursor, shape: Shape, name: str, variant: int) -> StoredProduct:
    _check_variant(variant, 7)
    axes = tuple(range(len(shape)))
    if variant & 1:
        axes = tuple(cursor.reader.varint(MAX_DIMENSIONS) for _ in shape)
        if sorted(axes) != list(range(len(shape))):
            raise BadManifest(f"the axes {axes} are no permutation")
    stages = _positive(cursor.reader.varint(256), "stages")
    spaces = _positive(cursor.reader.varint(), "blocks")
    entries = _positive(cursor.reader.varint(MAX_ENTRIES), "entries")
    dimension = _positive(cursor.reader.varint(), "a dimension")
    vectors, rest = divmod(size_of(shape), spaces * dimension)
    if rest:
        raise BadManifest(f"blocks of {spaces} x {dimension} in a tensor of shape {shape}")
    books = 1 if variant & 4 else spaces
    book_shape = (stages, books, entries, dimension)
    if size_of(book_shape) > MAX_ELEMENTS:
        raise BadManifest(f"codebooks of shape {book_shape} are beyond the format's limits")
    codebooks = read_form(cursor, book_shape, f"{name}codebooks.", _LEVEL_FORMS)
    codes_shape = (stages, vectors, spaces)
    codes = cursor.ints(f"{name}codes", size_of(codes_shape), index_type(entries))
    rotation = None
    if variant & 2:
        size = spaces * dimension
        if size * size > MAX_ELEMENTS:
            raise BadManifest(f"a rotation of {size} dimensions is beyond the format's limits")
        rotation = read_form(cursor, (size, size), f"{name}rotation.", _FLOAT_FORMS)
    return StoredProduct(shape, axes, codebooks, codes, codes_shape, rotation)
