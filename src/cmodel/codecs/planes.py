"""Byte planes: arrays of 16- or 32-bit words, one entropy-coded stream for each byte of a word.

The words of floats (biases, scales, centroids) hardly repeat, but their high bytes do. Before they
are cut, words are transformed in one of two reversible ways: rotated left by one bit, so that a
float32's exponent is a byte of its own; or, best for values in ascending order such as centroids,
mapped to integers in the order of the floats, of which each is replaced by its distance from the
one before. The stream's layout stands in the specification of the container.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cmodel.codecs import bitpack, huffman, rans
from cmodel.codecs.types import Buffer, Unsigned, contiguous, native, octets
from cmodel.codecs.varint import read_varint, varint
from cmodel.errors import BadStream

CODERS = ("packed", "huffman", "rans")


def encode(words: Unsigned, *, coders: Collection[str] = CODERS) -> bytes:
    """Code a 1-D uint16 or uint32 array; each plane gets that of `coders` with the fewest bytes.

    "packed" is always among them. The transform is that of the shorter stream; the rotation where
    both are equal.
    """
    words = contiguous(words, np.uint16, np.uint32)
    streams = [
        bytes([number])
        + b"".join(_encode_plane(plane, coders) for plane in _planes(forward(words)))
        for number, (forward, _) in enumerate(_TRANSFORMS)
    ]
    return min(streams, key=len)


def decode(data: Buffer, count: int, dtype: DTypeLike) -> Unsigned:
    """Return the `count` words coded in `data` as uint16 or uint32.

    Raises BadStream where `data` is not such a stream. Planes of one repeated byte are a few bytes
    long for any count: the caller bounds it.
    """
    kind = native(dtype, np.uint16, np.uint32)
    if count < 0:
        raise ValueError(f"count is {count}")
    stream = bytes(octets(data))
    if not stream or stream[0] >= len(_TRANSFORMS):
        raise BadStream("the byte planes are damaged: no such transform", where="byte 0 of them")
    planes = np.empty((count, kind.itemsize), np.uint8)
    at = 1
    for i in range(kind.itemsize):
        planes[:, i], at = _decode_plane(stream, at, count)
    if at != len(stream):
        raise BadStream("the byte planes are damaged: bytes after them", where=f"byte {at} of them")
    words = planes.view(kind.newbyteorder("<")).reshape(count).astype(kind)
    _, backward = _TRANSFORMS[stream[0]]
    return backward(words)


def _rotate(words: Unsigned) -> Unsigned:
    top = 8 * words.itemsize - 1
    rotated: Unsigned = np.bitwise_or(np.left_shift(words, 1), np.right_shift(words, top))
    return rotated


def _rotate_back(words: Unsigned) -> Unsigned:
    top = 8 * words.itemsize - 1
    rotated: Unsigned = np.bitwise_or(np.right_shift(words, 1), np.left_shift(words, top))
    return rotated


def _ordered(words: Unsigned) -> Unsigned:
    sign = words.dtype.type(1 << (8 * words.itemsize - 1))
    keys = np.where(words & sign, ~words, words | sign)
    before: Unsigned = np.concatenate([np.zeros(1, keys.dtype), keys[:-1]])
    return keys - before[: keys.size]


def _ordered_back(steps: Unsigned) -> Unsigned:
    sign = steps.dtype.type(1 << (8 * steps.itemsize - 1))
    keys = np.cumsum(steps, dtype=steps.dtype)
    words: Unsigned = np.where(keys & sign, keys ^ sign, ~keys)
    return words


_TRANSFORMS: tuple[tuple[Callable[[Unsigned], Unsigned], Callable[[Unsigned], Unsigned]], ...] = (
    (_rotate, _rotate_back),
    (_ordered, _ordered_back),
)


def _planes(words: Unsigned) -> list[NDArray[np.uint8]]:
    little = words.astype(words.dtype.newbyteorder("<"), copy=False)
    octet_rows = little.view(np.uint8).reshape(words.size, words.itemsize)
    return [np.ascontiguousarray(octet_rows[:, i]) for i in range(words.itemsize)]


def _encode_plane(plane: NDArray[np.uint8], coders: Collection[str]) -> bytes:
    width = bitpack.width_of(plane)
    streams = [bytes([width]) + bitpack.encode(plane, width)]
    for number, codec in _ENTROPY_CODECS.items():
        if CODERS[number] in coders:
            coded: bytes = codec.encode(plane)
            streams.append(bytes([number << 4]) + varint(len(coded)) + coded)
    return min(streams, key=len)


def _decode_plane(stream: bytes, at: int, count: int) -> tuple[NDArray[Any], int]:
    head = stream[at] if at < len(stream) else 0xFF
    coder, width = head >> 4, head & 15
    if coder == 0 and width <= 8:
        start, size = at + 1, bitpack.size_of(count, width)
    elif coder in _ENTROPY_CODECS and width == 0:
        size, start = read_varint(stream, at + 1)
    else:
        raise BadStream("the byte planes are damaged: no such coder", where=f"byte {at} of them")
    if size > len(stream) - start:
        raise BadStream(
            "the byte planes are damaged: they end too early", where=f"byte {len(stream)} of them"
        )
    part = stream[start : start + size]
    if coder == 0:
        return bitpack.decode(part, count, width, np.uint8), start + size
    return _ENTROPY_CODECS[coder].decode(part, count, np.uint8), start + size


_ENTROPY_CODECS: dict[int, Any] = {1: huffman, 2: rans}
