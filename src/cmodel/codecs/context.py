"""Matrices of small signed integers, coded by mixing the predictions of adaptive counters.

An integer is coded as binary decisions (is it zero, its sign, is it above 1, 2, ...). Each is
predicted by counters under several contexts (the neighbours in the row, in the kernel and in the
rows before, the means of row and column), whose logits a small adaptive model mixes. There are no
tables, so that small matrices gain the most. It takes about 18 ns an integer and 20 ns a coded bit
in either direction.
The stream's layout stands in the specification of the container.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from cmodel import _context
from cmodel.codecs.types import Buffer, Unsigned, contiguous, native, octets

# What decoding takes for an integer and for a coded bit, in nanoseconds: fitted to integers of 0 to
# 4 bits on one core of a server (AMD EPYC 9005).
NANOSECONDS = 18
NANOSECONDS_A_BIT = 20
# Bytes of memory that a column takes while it is decoded.
COLUMN_BYTES = 16
MAX_COLUMNS = (1 << 32) - 1
# As many integers tell which distances are the best.
_SAMPLE = 1 << 16


@dataclass(frozen=True)
class Matrix:
    """What integers are: the rows of a matrix, and what is known of its columns.

    rows : at least 1; divides the number of integers.
    zero : the integer that stands for zero; None: the most frequent one (of several the lowest).
    distances : pairs to choose from, (0, 0) beside them: how far to the left the elements lie that
        are the neighbours in the row above of a kernel or an image, and in the channel before.
    trellis : whether the integers are indices of dependent quantization.
    """

    rows: int
    zero: int | None = None
    distances: Sequence[tuple[int, int]] = ()
    trellis: bool = False


def encode(ints: Unsigned, matrix: Matrix) -> bytes:
    """Code a 1-D uint8 or uint16 array.

    Of the distances those are taken whose stream is the shortest, judged on the first rows. Raises
    ValueError where the matrix does not go with the integers.
    """
    ints = contiguous(ints, np.uint8, np.uint16)
    if matrix.rows < 1 or ints.size % matrix.rows or ints.size // matrix.rows > MAX_COLUMNS:
        raise ValueError(f"{ints.size} integers are no matrix of {matrix.rows} rows")
    columns = ints.size // matrix.rows
    top = int(np.iinfo(ints.dtype).max)
    if not ints.size:
        return b""
    zero = int(np.bincount(ints).argmax()) if matrix.zero is None else matrix.zero
    if not 0 <= zero <= top:
        raise ValueError(f"zero is 0 to {top}, not {zero}")
    for pair in matrix.distances:
        if not all(0 <= distance <= columns for distance in pair):
            raise ValueError(f"distances are 0 to {columns}, not {pair}")
    pairs = [(0, 0), *matrix.distances]

    def coded(part: Unsigned, pair: tuple[int, int]) -> bytes:
        return _context.encode(part, columns, zero, pair[0], pair[1], matrix.trellis)

    best = pairs[0]
    if len(pairs) > 1:
        sample = ints[: max(1, _SAMPLE // columns) * columns]
        best = min(pairs, key=lambda pair: len(coded(sample, pair)))
    return coded(ints, best)


def decode(data: Buffer, count: int, dtype: DTypeLike) -> Unsigned:
    """Return the `count` integers coded in `data` as uint8 or uint16.

    Raises BadStream where `data` is no such stream. It takes COLUMN_BYTES for each of
    `columns_of`; a stream of equal integers is a few bytes long for any count: the caller bounds
    both.
    """
    kind = native(dtype, np.uint8, np.uint16)
    if count < 0:
        raise ValueError(f"count is {count}")
    ints: Unsigned = np.empty(count, kind)
    _context.decode(octets(data), ints)
    return ints


def columns_of(data: Buffer, count: int, dtype: DTypeLike) -> int:
    """Return the columns that a stream of `count` integers states; 0 where its head is damaged."""
    kind = native(dtype, np.uint8, np.uint16)
    return _context.columns_of(octets(data), count, kind.itemsize)
