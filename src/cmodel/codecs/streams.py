"""Integer streams: the cheapest coder for an array of integers, chosen by trying."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from cmodel.codecs import bitpack, huffman
from cmodel.codecs.types import Buffer, Unsigned, contiguous, native
from cmodel.errors import BadStream


@dataclass(frozen=True)
class Encoded:
    """A coded stream.

    coder : "packed" or "huffman".
    width : bits of an integer when packed, 0 to 16; 0 for huffman.
    """

    coder: str
    width: int
    data: bytes


def _packed(ints: Unsigned) -> Encoded:
    width = bitpack.width_of(ints)
    return Encoded("packed", width, bitpack.encode(ints, width))


def _huffman(ints: Unsigned) -> Encoded | None:
    if ints.size and int(ints.max()) >= huffman.ALPHABET:
        return None
    return Encoded("huffman", 0, huffman.encode(ints))


# Of equally small streams the first one here is taken.
_ENCODERS: dict[str, Callable[[Unsigned], Encoded | None]] = {
    "packed": _packed,
    "huffman": _huffman,
}
CODERS = tuple(_ENCODERS)


def encode_ints(ints: Unsigned, *, coders: Collection[str] = CODERS) -> Encoded:
    """Code a 1-D uint8 or uint16 array with that of `coders` that takes the fewest bytes.

    Of equally small streams it is the packed one. Raises
    ValueError where no coder of `coders` can code them (huffman ends at 2047).
    """
    unknown = sorted(set(coders) - set(CODERS))
    if unknown:
        raise ValueError(f"no coder {unknown[0]!r}; there are {', '.join(CODERS)}")
    ints = contiguous(ints, np.uint8, np.uint16)
    tried = [encode(ints) for name, encode in _ENCODERS.items() if name in coders]
    streams = [stream for stream in tried if stream is not None]
    if not streams:
        raise ValueError(f"none of the coders {', '.join(coders) or '(none)'} can code the stream")
    return min(streams, key=lambda stream: len(stream.data))


def decode_ints(
    coder: str, width: int, data: Buffer, count: int, dtype: DTypeLike, threads: int = 1
) -> Unsigned:
    """Return the `count` integers of a coded stream as uint8 or uint16.

    Raises BadStream where `data` is no such stream, or `width` none that the coder has for `dtype`.
    `count` bounds what is allocated: the caller bounds it.
    """
    kind = native(dtype, np.uint8, np.uint16)
    widths = {"packed": 8 * kind.itemsize, "huffman": 0}
    if coder not in widths:
        raise BadStream(f"no integer coder {coder!r}")
    if not 0 <= width <= widths[coder]:
        raise BadStream(f"the {coder} stream's width {width} is none for {kind}")
    if coder == "huffman":
        return huffman.decode(data, count, kind, threads)
    return bitpack.decode(data, count, width, kind)
