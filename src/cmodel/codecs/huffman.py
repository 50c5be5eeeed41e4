"""Canonical Huffman coding, code lengths up to 11 bits, alphabet up to 2048 symbols.

The stream's layout stands in the specification of the container. It holds the code, not the number
of symbols: whoever stores the stream stores that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cmodel import _huffman
from cmodel.codecs.types import Buffer, Unsigned, contiguous, native, octets

MAX_BITS = 11
ALPHABET = _huffman.ALPHABET
CHUNK_LOG2 = 16


def encode(symbols: Unsigned, *, chunk_log2: int = CHUNK_LOG2) -> bytes:
    """Code a 1-D uint8 or uint16 array of symbols below 2048.

    The bytes depend on the symbols and on `chunk_log2` (12 to 20) alone: chunks of 2**chunk_log2
    symbols can be decoded in parallel. Raises ValueError for a symbol outside the alphabet.
    """
    if not _huffman.MIN_CHUNK_LOG2 <= chunk_log2 <= _huffman.MAX_CHUNK_LOG2:
        raise ValueError(
            f"chunk_log2 is {_huffman.MIN_CHUNK_LOG2} to {_huffman.MAX_CHUNK_LOG2}, "
            f"not {chunk_log2}"
        )
    return _huffman.encode(contiguous(symbols, np.uint8, np.uint16), chunk_log2)


def decode(data: Buffer, count: int, dtype: DTypeLike, threads: int = 1) -> Unsigned:
    """Return the `count` symbols coded in `data` as uint8 or uint16.

    Raises BadStream where `data` is not such a stream. A stream of one repeated symbol is a few
    bytes long for any count: the caller bounds it.
    """
    kind = native(dtype, np.uint8, np.uint16)
    if count < 0 or threads < 1:
        raise ValueError(f"count is {count}, threads is {threads}")
    return _huffman.decode(octets(data), count, kind, threads)


def code_lengths(histogram: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the optimal code lengths (uint8, 0 for unused) for counts of symbols 0, 1, ...

    The array ends with the last used symbol. Of symbols with equal counts the smaller one gets the
    shorter code. A symbol that is the only one has length 1, and takes no bits in a stream.
    """
    lengths: np.ndarray[tuple[int], np.dtype[np.uint8]] = _huffman.code_lengths(_counts(histogram))
    return lengths


def encoded_size(histogram: ArrayLike) -> int:
    """Bytes of a stream with these counts of symbols 0, 1, ..., without what chunks add.

    Exact for up to 4096 symbols. Above, a stream has one byte for the chunk size, at most 9 + 3
    bytes per chunk for its sub-streams, and 8 bytes per chunk where there are several.
    """
    return _huffman.encoded_size(_counts(histogram))


def _counts(histogram: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    counts = np.ascontiguousarray(histogram, dtype=np.uint64)
    if counts.ndim != 1 or counts.size > ALPHABET:
        raise ValueError(f"a histogram is 1-D with up to {ALPHABET} counts")
    return counts
