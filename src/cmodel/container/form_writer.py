"""Tensor forms -> the tensor directory and its streams (specification, section 5)."""

from __future__ import annotations

from math import isqrt

import numpy as np

from cmodel.codecs import mask, relindex
from cmodel.codecs.context import Matrix
from cmodel.container.forms import (
    CODEBOOK,
    DENSE,
    FLOATS,
    HASHED,
    INTS,
    LINEAR,
    PRODUCT,
    RELATIVE,
    SPARSE,
    TRELLIS,
    index_type,
    unsigned_of,
)
from cmodel.container.streams import Sink, planes_of
from cmodel.net import Shape
from cmodel.tensors import Codebook, Dense, Form, Hashed, Linear, Product, Sparse, Trellis, size_of

# Larger arrays of floats stay as they are, so that they can be mapped.
PLANES_UP_TO = 1 << 16
# The largest kernels, or images, that the columns of a matrix are looked over for.
_LARGEST_MAP = 16


def write_form(form: Form, sink: Sink) -> None:
    """Describe `form` in the directory of `sink` and write its streams."""
    match form:
        case Dense():
            _write_dense(form, sink)
        case Codebook():
            _kind(sink, CODEBOOK, int(form.groups != 1))
            if form.groups != 1:
                sink.directory.varint(form.groups)
            sink.directory.varint(form.entries)
            write_form(form.centroids, sink)
            indices = form.indices.astype(index_type(form.entries), copy=False)
            sink.ints(indices, matrix_of(form.shape))
        case Linear():
            _write_linear(form, sink)
        case Sparse():
            _write_sparse(form, sink)
        case Product():
            _write_product(form, sink)
        case Hashed():
            _kind(sink, HASHED, int(form.signed))
            sink.directory.varint(form.buckets.shape[0])
            sink.directory.word(form.seed)
            write_form(form.buckets, sink)
        case Trellis():
            _write_trellis(form, sink)


def _kind(sink: Sink, kind: int, variant: int) -> None:
    sink.directory.byte(kind | variant << 4)


def _write_dense(form: Dense, sink: Sink) -> None:
    kind = FLOATS.index(form.values.dtype)
    planes = planes_of(form.values) if form.values.size <= PLANES_UP_TO else None
    _kind(sink, DENSE, kind | (planes is not None) << 2)
    if planes is not None:
        sink.opaque(planes)
    else:
        little = form.values.dtype.newbyteorder("<")
        sink.raw(form.values.astype(little, copy=False).tobytes())


def _write_linear(form: Linear, sink: Sink) -> None:
    grouped, shifted = form.groups != 1, bool(form.zeros.any())
    _kind(sink, LINEAR, INTS.index(form.ints.dtype) | grouped << 2 | shifted << 3)
    if grouped:
        sink.directory.varint(form.groups)
    lowest = int(form.ints.min()) if form.ints.size else 0
    sink.directory.zigzag(lowest)
    write_form(form.scales, sink)
    if shifted:
        # Two halves: a zero has up to 24 bits.
        base = int(form.zeros.min())
        sink.directory.zigzag(base)
        above = (form.zeros - base).astype(np.uint32)
        sink.ints((above & 0xFFFF).astype(np.uint16))
        sink.ints((above >> 16).astype(np.uint16))
    dtype = unsigned_of(form.ints.dtype)
    sink.ints((form.ints.astype(np.int32) - lowest).astype(dtype), matrix_of(form.shape))


def _write_trellis(form: Trellis, sink: Sink) -> None:
    grouped = form.groups != 1
    _kind(sink, TRELLIS, int(form.ints.dtype.itemsize == 2) | grouped << 1)
    if grouped:
        sink.directory.varint(form.groups)
    sink.directory.varint(form.states)
    lowest = min(0, int(form.ints.min())) if form.ints.size else 0
    sink.directory.zigzag(lowest)
    write_form(form.scales, sink)
    matrix = matrix_of(form.shape, zero=-lowest, trellis=True)
    sink.ints((form.ints.astype(np.int32) - lowest).astype(unsigned_of(form.ints.dtype)), matrix)


def matrix_of(shape: Shape, *, zero: int | None = None, trellis: bool = False) -> Matrix:
    """Return how the integers of a tensor lie.

    Filters have their kernels for neighbours. The columns of other matrices are perhaps channels of
    square images: the sizes that divide them are offered.
    """
    if len(shape) < 2 or not size_of(shape):
        return Matrix(1, zero, (), trellis)
    columns = size_of(shape[1:])
    kernel = size_of(shape[2:])
    if kernel > 1:
        distances = [(shape[-1], kernel)]
    else:
        sides = [side for side in range(2, _LARGEST_MAP + 1) if columns % (side * side) == 0]
        distances = [(side, side * side) for side in sides]
        if isqrt(columns) ** 2 == columns and isqrt(columns) > _LARGEST_MAP:
            distances.append((isqrt(columns), 0))
    return Matrix(shape[0], zero, distances, trellis)


def _write_sparse(form: Sparse, sink: Sink) -> None:
    height, width = form.block
    blocked = form.block != (1, 1)
    ways = [way(form, sink) for way in (_relative_index, _bitmap, _mask)]
    sizes = [way.size + len(way.directory.bytes()) if way else None for way in ways]
    coder = min((size, number) for number, size in enumerate(sizes) if size is not None)[1]
    _kind(sink, SPARSE, int(blocked) | coder << 1)
    if blocked:
        sink.directory.varint(height)
        sink.directory.varint(width)
    sink.directory.varint(form.positions.size)
    chosen = ways[coder]
    if coder == RELATIVE:
        # Coded again, because only now it is sure that its table comes into the file.
        chosen = _relative_index(form, sink, final=True)
    if chosen is not None:
        sink.take(chosen)
    write_form(form.values, sink)


def _blocks(form: Sparse) -> tuple[int, int]:
    """Rows and columns of the grid of blocks."""
    rows = (form.shape[0] if form.shape else 1) // form.block[0]
    total = size_of(form.shape) // (form.block[0] * form.block[1])
    return rows, total // rows if rows else 0


def _relative_index(form: Sparse, sink: Sink, *, final: bool = False) -> Sink:
    rows, columns = _blocks(form)
    index = sink.beside() if final else Sink(sink.coders)
    bits = relindex.best_width(form.positions, rows * columns)
    symbols = relindex.encode(form.positions, rows * columns, bits)
    index.directory.varint(bits)
    index.directory.varint(symbols.size)
    index.ints(symbols)
    return index


def _bitmap(form: Sparse, sink: Sink) -> Sink:
    rows, columns = _blocks(form)
    index = sink.beside()
    bits = np.zeros(rows * columns, np.uint8)
    bits[form.positions] = 1
    index.raw(np.packbits(bits, bitorder="little").tobytes())
    return index


def _mask(form: Sparse, sink: Sink) -> Sink | None:
    rows, columns = _blocks(form)
    if "mask" not in sink.position_coders or rows * columns > mask.MAX_SIZE:
        return None
    index = sink.beside()
    index.opaque(mask.encode(form.positions, rows, columns, periods=_periods(form)))
    return index


def _periods(form: Sparse) -> list[int]:
    """Distances at which elements resemble each other: none, and a filter's size."""
    kernel = size_of(form.shape[2:])
    is_filter = len(form.shape) > 2 and form.block == (1, 1)
    return [0, kernel] if is_filter and 1 < kernel <= _blocks(form)[1] else [0]


def _write_product(form: Product, sink: Sink) -> None:
    stages, books, entries, dimension = form.codebooks.shape
    spaces = form.codes.shape[2]
    permuted = form.axes != tuple(range(len(form.axes)))
    rotated = form.rotation is not None
    shared = books == 1 and spaces > 1
    _kind(sink, PRODUCT, int(permuted) | rotated << 1 | shared << 2)
    if permuted:
        for axis in form.axes:
            sink.directory.varint(axis)
    for number in (stages, spaces, entries, dimension):
        sink.directory.varint(number)
    write_form(form.codebooks, sink)
    sink.ints(form.codes.astype(index_type(entries), copy=False))
    if form.rotation is not None:
        write_form(Dense(form.rotation), sink)
