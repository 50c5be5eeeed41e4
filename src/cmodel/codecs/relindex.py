"""Relative index: positions of nonzeros as gaps of b bits (Deep Compression, section 2).

The gap before a position is the number of positions skipped since the one before it (since the
beginning for the first one). Gap g is floor(g / M) escapes, then the symbol g mod M, with
M = 2**b - 1 the escape: "skip M positions, nothing is here".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmodel import _relindex
from cmodel.codecs import huffman
from cmodel.codecs.types import Unsigned, contiguous, positions_of

MAX_WIDTH = 11
WIDTHS = range(1, 9)


def encode(positions: NDArray[np.int64], size: int, b: int) -> Unsigned:
    """Return the symbols of strictly increasing 1-D int64 `positions` below `size`.

    uint8 for b of 1 to 8, uint16 for 9 to 11. Raises ValueError where the positions are not such.
    """
    where, escape = positions_of(positions), _escape(b)
    count = _relindex.symbol_count(where, size, escape)
    symbols: Unsigned = np.empty(count, np.uint8 if b <= 8 else np.uint16)
    _relindex.encode(where, escape, symbols)
    return symbols


def decode(symbols: Unsigned, count: int, size: int, b: int) -> NDArray[np.int64]:
    """Return the `count` positions, int64, that `symbols` stand for.

    Raises BadStream where a symbol is over 2**b - 1, a position is not below `size`, there are not
    exactly `count` positions, or the last symbol is an escape.
    """
    if count < 0 or size < 0:
        raise ValueError(f"count is {count}, size is {size}")
    return _relindex.decode(contiguous(symbols, np.uint8, np.uint16), count, size, _escape(b))


def best_width(positions: NDArray[np.int64], size: int) -> int:
    """Return the width b of 1 to 8 whose symbols take the fewest bytes in Huffman code.

    Of equally good widths it is the smallest.
    """
    where = positions_of(positions)
    _relindex.symbol_count(where, size, _escape(1))
    gaps, counts = np.unique(np.diff(where, prepend=-1) - 1, return_counts=True)
    costs = {}
    for b in WIDTHS:
        escape = _escape(b)
        histogram = np.bincount(gaps % escape, weights=counts, minlength=escape + 1)
        histogram[escape] = (gaps // escape * counts).sum()
        costs[b] = huffman.encoded_size(histogram.astype(np.uint64))
    return min(costs, key=lambda b: (costs[b], b))


def _escape(b: int) -> int:
    if not 1 <= b <= MAX_WIDTH:
        raise ValueError(f"a relative index has 1 to {MAX_WIDTH} bits, not {b}")
    return (1 << b) - 1
