"""rANS: entropy coding to fractions of a bit, with frequencies of 12 bits for up to 2048 symbols.

The stream's layout stands in the specification of the container. It holds the frequencies, not the
number of symbols: whoever stores the stream stores that. A stream is its table and its payload;
where several streams have a table in common, each is coded and decoded with `table=` and is the
payload alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cmodel import _rans
from cmodel.codecs.types import (
    Buffer,
    Unsigned,
    check_chunk_log2,
    contiguous,
    counts_of,
    native,
    octets,
)

ALPHABET = _rans.ALPHABET
CHUNK_LOG2 = 18
LANES = 32


def encode(
    symbols: Unsigned,
    *,
    chunk_log2: int = CHUNK_LOG2,
    lanes: int | None = None,
    table: Buffer | None = None,
) -> bytes:
    """Code a 1-D uint8 or uint16 array of symbols below 2048.

    The bytes depend on the arguments alone: chunks of 2**chunk_log2 (12 to 20) symbols can be
    decoded in parallel. With 32 `lanes` a chunk of more than 4096 symbols decodes several times as
    fast as with 1, and is about 96 bytes longer; by default chunks get them where they are of
    32 KiB or more on average. `table` is one of `table_of`; the stream is then without it. Raises
    ValueError for a symbol outside the alphabet, or without a code in `table`.
    """
    check_chunk_log2(chunk_log2)
    if lanes not in (None, 1, LANES):
        raise ValueError(f"lanes are 1 or {LANES}, not {lanes}")
    shared = None if table is None else octets(table)
    ints = contiguous(symbols, np.uint8, np.uint16)
    return _rans.encode(ints, chunk_log2, lanes or 0, shared)


def decode(
    data: Buffer, count: int, dtype: DTypeLike, threads: int = 1, *, table: Buffer | None = None
) -> Unsigned:
    """Return the `count` symbols coded in `data` as uint8 or uint16.

    `table` is the table that the stream lacks. Raises BadStream where `data` is not such a stream,
    or `table` no table. A stream of few different symbols is a few bytes long for any count: the
    caller bounds it.
    """
    kind = native(dtype, np.uint8, np.uint16)
    if count < 0 or threads < 1:
        raise ValueError(f"count is {count}, threads is {threads}")
    shared = None if table is None else octets(table)
    return _rans.decode(octets(data), count, kind, threads, shared)


def table_of(histogram: ArrayLike) -> bytes:
    """Return the table with which a stream with these counts of symbols 0, 1, ... begins."""
    return _rans.table_of(counts_of(histogram))


def table_size(data: Buffer) -> int:
    """Bytes of the table at the beginning of a stream; BadStream where there is none."""
    return _rans.table_size(octets(data))


def frequencies(table: Buffer) -> NDArray[np.uint16]:
    """Return the frequencies (uint16, sum 4096, 0 for unused) that a table gives its symbols."""
    return _rans.frequencies(octets(table))


def encoded_size(histogram: ArrayLike, *, table: Buffer | None = None) -> int:
    """Bytes of a stream of one lane with these counts of symbols 0, 1, ..., to within 2.

    A stream that ends with its lowest symbol many times may be shorter. Chunks add one byte where
    there are more than 4096 symbols, and where there are several chunks about 10 bytes for each.
    With `table` it is the size of the stream without a table, coded with that one.
    """
    counts = counts_of(histogram)
    shared = _rans.table_of(counts) if table is None else bytes(octets(table))
    bits = _rans.cost(counts, octets(shared)) / 65536
    return (len(shared) if table is None else 0) + int(bits + 15) // 8
