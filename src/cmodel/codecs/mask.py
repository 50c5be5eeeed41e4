"""Masks: which elements of a sparse matrix are nonzero, by adaptive binary coding.

Every element is coded with the probability that a mix of four models gives it: the density, the
counts of its column and its row so far, and its neighbours'. Rows without nonzeros take one bit
decision each, and what comes after the last nonzero takes none. The stream's layout stands in the
specification of the container.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from cmodel import _mask
from cmodel.codecs.types import Buffer, octets, positions_of

MAX_SIZE = _mask.MAX_SIZE


def encode(
    positions: NDArray[np.int64], rows: int, columns: int, *, periods: Collection[int] = (0,)
) -> bytes:
    """Code strictly increasing 1-D int64 positions in a matrix (rows x columns, C order).

    periods : 0 to `columns` each; of these distances to the left the one is used whose stream is
        the shortest (of equal ones the first). Good ones are the size of a convolution's kernel
        and the width of an image; 0 uses none.
    Raises ValueError where there are more than 2**32 - 1 elements, or positions are not such.
    """
    _check(rows, columns)
    if not periods or not all(0 <= period <= columns for period in periods):
        raise ValueError(f"periods are 0 to {columns}, not {list(periods)}")
    where = positions_of(positions)
    streams = (_mask.encode(where, rows, columns, period) for period in periods)
    return min(streams, key=len)


def decode(data: Buffer, rows: int, columns: int, count: int) -> NDArray[np.int64]:
    """Return the `count` positions, int64, increasing.

    Raises BadStream where `data` is not such a stream. It takes 8 bytes a position and 3 bytes a
    column, which the caller bounds.
    """
    _check(rows, columns)
    if not 0 <= count <= rows * columns:
        raise ValueError(f"there are {rows * columns} elements, and {count} positions")
    return _mask.decode(octets(data), rows, columns, count)


def _check(rows: int, columns: int) -> None:
    if rows < 0 or columns < 0 or rows * columns > MAX_SIZE:
        raise ValueError(f"a mask has up to {MAX_SIZE} elements, not {rows} x {columns}")
