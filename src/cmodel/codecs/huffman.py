"""Canonical Huffman coding, code lengths up to 11 bits, alphabet up to 2048 symbols.

The stream's layout stands in the specification of the container. It holds the code, not the number
of symbols: whoever stores the stream stores that. A stream is its table and its payload; where
several streams have a table in common, each is coded and decoded with `table=` and is the payload
alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cmodel import _huffman
from cmodel.codecs.types import (
    Buffer,
    Unsigned,
    check_chunk_log2,
    contiguous,
    counts_of,
    native,
    octets,
)

MAX_BITS = 11
ALPHABET = _huffman.ALPHABET
CHUNK_LOG2 = 16


def encode(
    symbols: Unsigned, *, chunk_log2: int = CHUNK_LOG2, table: Buffer | None = None
) -> bytes:
    """Code a 1-D uint8 or uint16 array of symbols below 2048.

    The bytes depend on the arguments alone: chunks of 2**chunk_log2 (12 to 20) symbols can be
    decoded in parallel. `table` is one of `table_of`; the stream is then without it. Raises
    ValueError for a symbol outside the alphabet, or without a code in `table`.
    """
    check_chunk_log2(chunk_log2)
    shared = None if table is None else octets(table)
    return _huffman.encode(contiguous(symbols, np.uint8, np.uint16), chunk_log2, shared)


def decode(
    data: Buffer, count: int, dtype: DTypeLike, threads: int = 1, *, table: Buffer | None = None
) -> Unsigned:
    """Return the `count` symbols coded in `data` as uint8 or uint16.

    `table` is the table that the stream lacks. Raises BadStream where `data` is not such a stream,
    or `table` no table. A stream of one repeated symbol is a few bytes long for any count: the
    caller bounds it.
    """
    kind = native(dtype, np.uint8, np.uint16)
    if count < 0 or threads < 1:
        raise ValueError(f"count is {count}, threads is {threads}")
    shared = None if table is None else octets(table)
    return _huffman.decode(octets(data), count, kind, threads, shared)


def table_of(histogram: ArrayLike) -> bytes:
    """Return the table with which a stream with these counts of symbols 0, 1, ... begins."""
    return _huffman.table_of(counts_of(histogram))


def table_size(data: Buffer) -> int:
    """Bytes of the table at the beginning of a stream; BadStream where there is none."""
    return _huffman.table_size(octets(data))


def code_lengths(histogram: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the optimal code lengths (uint8, 0 for unused) for counts of symbols 0, 1, ...

    The array ends with the last used symbol. Of symbols with equal counts the smaller one gets the
    shorter code. A symbol that is the only one has length 1, and takes no bits in a stream.
    """
    lengths: np.ndarray[tuple[int], np.dtype[np.uint8]] = _huffman.code_lengths(
        counts_of(histogram)
    )
    return lengths


def encoded_size(histogram: ArrayLike, *, table: Buffer | None = None) -> int:
    """Bytes of a stream with these counts of symbols 0, 1, ..., without what chunks add.

    Exact for up to 4096 symbols. Above, a stream has one byte for the chunk size, at most 9 + 3
    bytes per chunk for its sub-streams, and 8 bytes per chunk where there are several. With `table`
    it is the size of the stream without a table, coded with that one.
    """
    shared = None if table is None else octets(table)
    return _huffman.encoded_size(counts_of(histogram), shared)
