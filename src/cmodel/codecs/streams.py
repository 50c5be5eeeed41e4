"""Streams: the cheapest coder for an array of integers or words, chosen by trying."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from cmodel.codecs import bitpack, context, huffman, planes, rans, split
from cmodel.codecs.context import Matrix
from cmodel.codecs.types import ALPHABET, Buffer, Unsigned, contiguous, native, octets
from cmodel.errors import BadStream


@dataclass(frozen=True)
class Encoded:
    """A coded stream.

    coder : of integers one of `CODERS`, of words one of `WORD_CODERS`.
    width : bits of an integer when packed, 0 to 16; 0 for the others.
    """

    coder: str
    width: int
    data: bytes


_Coders = Collection[str]


def _packed(ints: Unsigned, _: _Coders, __: Matrix | None) -> Encoded:
    width = bitpack.width_of(ints)
    return Encoded("packed", width, bitpack.encode(ints, width))


def _huffman(ints: Unsigned, _: _Coders, __: Matrix | None) -> Encoded | None:
    return Encoded("huffman", 0, huffman.encode(ints)) if _is_symbols(ints) else None


def _rans(ints: Unsigned, _: _Coders, __: Matrix | None) -> Encoded | None:
    return Encoded("rans", 0, rans.encode(ints)) if _is_symbols(ints) else None


def _split(ints: Unsigned, coders: _Coders, _: Matrix | None) -> Encoded | None:
    if ints.itemsize == 1:  # its alphabet has a table that is small beside what splitting it loses
        return None
    high = [name for name in split.CODERS if name in coders] or split.CODERS
    return Encoded("split", 0, split.encode(ints, coders=high))


def _context(ints: Unsigned, _: _Coders, matrix: Matrix | None) -> Encoded | None:
    return None if matrix is None else Encoded("context", 0, context.encode(ints, matrix))


def _is_symbols(ints: Unsigned) -> bool:
    return not ints.size or int(ints.max()) < ALPHABET


# Of equally small streams the first one here is taken.
_ENCODERS: dict[str, Callable[[Unsigned, _Coders, Matrix | None], Encoded | None]] = {
    "packed": _packed,
    "huffman": _huffman,
    "rans": _rans,
    "split": _split,
    "context": _context,
}
CODERS = tuple(_ENCODERS)
WORD_CODERS = ("raw", "planes")


def encode_ints(
    ints: Unsigned, *, coders: Collection[str] = CODERS, matrix: Matrix | None = None
) -> Encoded:
    """Code a 1-D uint8 or uint16 array with that of `coders` that takes the fewest bytes.

    Of equally small streams it is the first in the order of `CODERS`. "split" codes uint16, with
    that of huffman and rans that is among `coders`, or else with either. "context" codes what
    `matrix` says how to. Raises ValueError where no coder of `coders` can code them (huffman and
    rans end at 2047).
    """
    _check_coders(coders, CODERS)
    ints = contiguous(ints, np.uint8, np.uint16)
    tried = [encode(ints, coders, matrix) for name, encode in _ENCODERS.items() if name in coders]
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
    if coder not in CODERS:
        raise BadStream(f"no integer coder {coder!r}")
    if not 0 <= width <= (8 * kind.itemsize if coder == "packed" else 0):
        raise BadStream(f"the {coder} stream's width {width} is none for {kind}")
    match coder:
        case "packed":
            return bitpack.decode(data, count, width, kind)
        case "huffman":
            return huffman.decode(data, count, kind, threads)
        case "rans":
            return rans.decode(data, count, kind, threads)
        case "context":
            return context.decode(data, count, kind)
        case _:
            return split.decode(data, count, kind, threads)


def encode_words(words: Unsigned, *, coders: Collection[str] = WORD_CODERS) -> Encoded:
    """Code a 1-D uint16 or uint32 array with that of `coders` that takes the fewest bytes.

    "raw", the words little-endian, is taken of equally small streams.
    """
    _check_coders(coders, WORD_CODERS)
    words = contiguous(words, np.uint16, np.uint32)
    streams = []
    if "raw" in coders:
        little = words.astype(words.dtype.newbyteorder("<"), copy=False)
        streams.append(Encoded("raw", 0, little.tobytes()))
    if "planes" in coders:
        streams.append(Encoded("planes", 0, planes.encode(words)))
    if not streams:
        raise ValueError("no coder is allowed for the words")
    return min(streams, key=lambda stream: len(stream.data))


def decode_words(coder: str, data: Buffer, count: int, dtype: DTypeLike) -> Unsigned:
    """Return the `count` words of a coded stream as uint16 or uint32.

    Raises BadStream where `data` is no such stream. `count` bounds what is allocated: the caller
    bounds it.
    """
    kind = native(dtype, np.uint16, np.uint32)
    if coder == "planes":
        return planes.decode(data, count, kind)
    if coder != "raw":
        raise BadStream(f"no coder {coder!r} for words")
    stream = octets(data)
    if stream.size != count * kind.itemsize:
        raise BadStream(
            f"{count} words take {count * kind.itemsize} bytes, and there are {stream.size}"
        )
    return stream.view(kind.newbyteorder("<")).astype(kind)


def _check_coders(coders: Collection[str], known: tuple[str, ...]) -> None:
    unknown = sorted(set(coders) - set(known))
    if unknown:
        raise ValueError(f"no coder {unknown[0]!r}; there are {', '.join(known)}")
