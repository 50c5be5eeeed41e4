"""Bit packing: integers of one fixed width, without gaps.

Value i occupies bits [i*width, (i+1)*width) of a bit string, whose bit j is bit j % 8 of byte
j // 8. The string takes ceil(count*width/8) bytes; the bits after its end are zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from cmodel import _bitpack
from cmodel.codecs.types import Buffer, Unsigned, contiguous, native, octets
from cmodel.errors import BadStream

MAX_WIDTH = 32


def size_of(count: int, width: int) -> int:
    """Bytes of `count` packed integers."""
    return (count * width + 7) // 8


def width_of(ints: Unsigned) -> int:
    """Return the fewest bits that hold each of `ints`; 0 for none, or for zeros only."""
    return int(ints.max()).bit_length() if ints.size else 0


def encode(ints: Unsigned, width: int) -> bytes:
    """Pack a 1-D uint8, uint16 or uint32 array into `width` (0 to 32) bits each.

    Raises ValueError where a value needs more bits.
    """
    if not 0 <= width <= MAX_WIDTH:
        raise ValueError(f"width is 0 to {MAX_WIDTH} bits, not {width}")
    return _bitpack.encode(contiguous(ints, np.uint8, np.uint16, np.uint32), width)


def decode(data: Buffer, count: int, width: int, dtype: DTypeLike) -> Unsigned:
    """Return the `count` integers packed in `data` as uint8, uint16 or uint32.

    Raises BadStream where `data` is not exactly of their size or its padding is not zero. At width
    0 nothing but `count` says how many there are: the caller bounds it.
    """
    kind = native(dtype, np.uint8, np.uint16, np.uint32)
    if count < 0:
        raise ValueError(f"count is {count}")
    if not 0 <= width <= 8 * kind.itemsize:
        raise ValueError(f"width is 0 to {8 * kind.itemsize} bits for {kind}, not {width}")
    packed = octets(data)
    size = packed.size
    if size != size_of(count, width):
        raise BadStream(
            f"{count} packed integers of {width} bits take {size_of(count, width)} bytes, "
            f"and there are {size}",
            where=f"byte {min(size, size_of(count, width))} of the packed stream",
        )
    out: Unsigned = np.empty(count, kind)
    _bitpack.decode(packed, width, out)
    return out
