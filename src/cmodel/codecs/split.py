"""Large alphabets: integers cut into low bits, which are packed, and a high part, which is coded.

The stream's layout stands in the specification of the container. It is for integers beyond the 2048
symbols of the entropy coders, and for those whose low bits are noise.
"""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType

import numpy as np
from numpy.typing import DTypeLike

from cmodel.codecs import bitpack, huffman, rans
from cmodel.codecs.types import ALPHABET, Buffer, Unsigned, contiguous, native, octets
from cmodel.errors import BadStream

MAX_LOW_BITS = 15
CODERS = ("huffman", "rans")

_RANS = 0x80
_CODECS: dict[str, ModuleType] = {"huffman": huffman, "rans": rans}


def encode(ints: Unsigned, *, coders: Collection[str] = CODERS) -> bytes:
    """Code a 1-D uint8 or uint16 array; `coders` are those that the high parts may have.

    The number of low bits and the coder are those of the shortest stream, by the coders' sizes for
    one chunk; of equal ones the fewest low bits, and huffman.
    """
    ints = contiguous(ints, np.uint8, np.uint16)
    allowed = [name for name in CODERS if name in coders]
    if not allowed:
        raise ValueError(f"none of {', '.join(coders) or '(no coders)'} codes the high parts")
    histogram = np.bincount(ints, minlength=1)
    bits = 0
    costs: dict[tuple[int, str], int] = {}
    while not costs or (histogram.size > 1 and bits < MAX_LOW_BITS):
        histogram = np.add.reduceat(histogram, np.arange(0, histogram.size, 2))
        bits += 1
        if histogram.size > ALPHABET:
            continue
        for name in allowed:
            size = _CODECS[name].encoded_size(histogram)
            costs[bits, name] = bitpack.size_of(ints.size, bits) + size
    bits, name = min(costs, key=lambda key: (costs[key], key))
    low = (ints & ((1 << bits) - 1)).astype(np.uint16)
    high = _CODECS[name].encode((ints >> bits).astype(np.uint16))
    head = bits | (_RANS if name == "rans" else 0)
    return bytes([head]) + bitpack.encode(low, bits) + bytes(high)


def decode(data: Buffer, count: int, dtype: DTypeLike, threads: int = 1) -> Unsigned:
    """Return the `count` integers coded in `data` as uint8 or uint16.

    Raises BadStream where `data` is not such a stream, or an integer does not fit `dtype`.
    """
    kind = native(dtype, np.uint8, np.uint16)
    if count < 0:
        raise ValueError(f"count is {count}")
    stream = octets(data)
    head = int(stream[0]) if stream.size else 0
    bits = head & ~_RANS
    if not 1 <= bits <= MAX_LOW_BITS:
        raise BadStream(f"a split stream has 1 to {MAX_LOW_BITS} low bits", where="byte 0 of it")
    size = bitpack.size_of(count, bits)
    if size > stream.size - 1:
        raise BadStream(
            f"the split stream is damaged: {count} low parts of {bits} bits do not fit it",
            where=f"byte {stream.size} of it",
        )
    codec = _CODECS["rans" if head & _RANS else "huffman"]
    high: Unsigned = codec.decode(stream[1 + size :], count, np.uint16, threads)
    if count and int(high.max()) > np.iinfo(kind).max >> bits:
        raise BadStream("the split stream is damaged: a high part is too large", where="byte 0")
    low = bitpack.decode(stream[1 : 1 + size], count, bits, np.uint16)
    return (high << bits | low).astype(kind)
