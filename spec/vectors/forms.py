"""The forms of section 5, written plainly: text for the directory, streams, and values."""

from __future__ import annotations

import struct

import numpy as np
from builder import Coded, Form, mask, packed, planes, varint, zigzag
from context import NEXT

F32 = np.dtype("<f4")


def dense(values: np.ndarray) -> Form:
    """Kind 0, float32."""
    values = np.asarray(values, F32)
    return Form(b"\x00", values.tobytes(), values.reshape(-1))


def dense_planes(values: np.ndarray, transform: int, coders: list[str]) -> Form:
    """Kind 0 in byte planes: float32, or float16 by the type of the values."""
    kind = np.dtype("<f2") if values.dtype.itemsize == 2 else F32
    values = np.asarray(values, kind).reshape(-1)
    words = [int(w) for w in values.view(f"<u{kind.itemsize}")]
    stream = planes(words, 8 * kind.itemsize, transform, coders)
    text = bytes([(4 | (kind.itemsize == 2)) << 4]) + varint(len(stream))
    return Form(text, stream, values.astype(F32))


def half(values: np.ndarray) -> Form:
    """Kind 0, float16."""
    values = np.asarray(values, "<f2")
    return Form(b"\x10", values.tobytes(), values.astype(F32).reshape(-1))


def brain(words: np.ndarray) -> Form:
    """Kind 0, bfloat16 words."""
    words = np.asarray(words, "<u2")
    return Form(b"\x20", words.tobytes(), (words.astype("<u4") << 16).view(F32).reshape(-1))


def codebook(book: Form, groups: int, indices: list[int], coded: Coded) -> Form:
    """Kind 1: `book` holds groups x entries values."""
    entries = book.values.size // groups
    words = book.values.view("<u4").reshape(groups, entries)
    run = len(indices) // groups
    values = np.array([words[i // run][k] for i, k in enumerate(indices)], "<u4").view(F32)
    text = b"\x11" + varint(groups) if groups != 1 else b"\x01"
    text += varint(entries) + book.text + coded[0]
    return Form(text, book.streams + coded[1], values)


def linear(
    scales: Form,
    ints: list[int],
    lowest: int,
    kind: int,
    coded: Coded,
    zeros: list[int] | None = None,
) -> Form:
    """Kind 2: int types 0 to 3; one scale for a group."""
    groups = scales.values.size
    run = max(len(ints) // groups, 1)
    zero = zeros or [0] * groups
    difference = np.array([i - zero[j // run] for j, i in enumerate(ints)], F32)
    per_int = np.array([scales.values[j // run] for j in range(len(ints))], F32)
    with np.errstate(over="ignore"):
        values = difference * per_int + np.float32(0)
    text = bytes([2 | (kind | (groups != 1) << 2 | (zeros is not None) << 3) << 4])
    text += (varint(groups) if groups != 1 else b"") + zigzag(lowest) + scales.text
    streams = scales.streams
    if zeros is not None:
        base = min(zeros)
        low = packed([z - base & 0xFFFF for z in zeros], 16)
        high = packed([z - base >> 16 for z in zeros], 9)
        text += zigzag(base) + low[0] + high[0]
        streams += low[1] + high[1]
    return Form(text + coded[0], streams + coded[1], values)


def trellis(
    scales: Form,
    rows: int,
    ints: list[int],
    lowest: int,
    coded: Coded,
    *,
    wide: bool = False,
    states: int = 8,
) -> Form:
    """Kind 6: int8, or int16 where `wide`."""
    groups, columns = scales.values.size, len(ints) // rows if rows else 0
    run = max(len(ints) // groups, 1)
    values = []
    for i, k in enumerate(ints):
        s = 0 if i % columns == 0 else s  # noqa: F821 - set in the pass before
        v = 2 * k - s % 2 * ((k > 0) - (k < 0))
        s = NEXT[s][k % 2]
        with np.errstate(over="ignore"):
            values.append(np.float32(v) * scales.values[i // run] + np.float32(0))
    text = bytes([6 | (wide | (groups != 1) << 1) << 4])
    text += (varint(groups) if groups != 1 else b"") + varint(states) + zigzag(lowest)
    text += scales.text + coded[0]
    return Form(text, scales.streams + coded[1], np.array(values, F32))


def gaps_of(positions: list[int], bits: int) -> list[int]:
    """Gap symbols of the relative index."""
    escape, symbols, before = (1 << bits) - 1, [], -1
    for position in positions:
        gap = position - before - 1
        symbols += [escape] * (gap // escape) + [gap % escape]
        before = position
    return symbols


def scatter(
    shape: tuple[int, ...], positions: list[int], values: np.ndarray, block: tuple[int, int]
) -> np.ndarray:
    """The dense values of a sparse form."""
    rows = shape[0] if shape else 1
    columns = int(np.prod(shape[1:]))
    words = np.zeros((rows, columns), "<u4")
    across = columns // block[1]
    source = values.view("<u4").reshape(-1, *block)
    for k, position in enumerate(positions):
        r, c = position // across * block[0], position % across * block[1]
        words[r : r + block[0], c : c + block[1]] = source[k]
    return words.view(F32).reshape(-1)


def sparse(
    shape: tuple[int, ...],
    positions: list[int],
    values: Form,
    *,
    coder: str = "gaps",
    bits: int = 4,
    coded: Coded | None = None,
    block: tuple[int, int] = (1, 1),
    period: int = 0,
) -> Form:
    """Kind 3 with one of its position coders."""
    total = int(np.prod(shape)) // (block[0] * block[1])
    blocked = block != (1, 1)
    number = {"gaps": 0, "bitmap": 1, "mask": 2}[coder]
    text = bytes([3 | (blocked | number << 1) << 4])
    if blocked:
        text += varint(block[0]) + varint(block[1])
    text += varint(len(positions))
    if coder == "gaps":
        symbols = gaps_of(positions, bits)
        coded = coded or packed(symbols, bits)
        text += varint(bits) + varint(len(symbols)) + coded[0]
        streams = coded[1]
    elif coder == "bitmap":
        flags = np.zeros(total, np.uint8)
        flags[positions] = 1
        streams = np.packbits(flags, bitorder="little").tobytes()
    else:
        rows = (shape[0] if shape else 1) // block[0]
        streams = mask(positions, rows, total // rows if rows else 0, period)
        text += varint(len(streams))
    dense_values = scatter(shape, positions, values.values, block)
    return Form(text + values.text, streams + values.streams, dense_values)


def product(
    shape: tuple[int, ...],
    books: Form,
    dims: tuple[int, int, int, int],
    codes: np.ndarray,
    coded: Coded,
    *,
    axes: tuple[int, ...] | None = None,
    rotation: Form | None = None,
) -> Form:
    """Kind 4: dims are (stages, books, entries, dimension), codes (stages, rows, blocks)."""
    stages, number, entries, dimension = dims
    blocks = codes.shape[2]
    shared = number == 1 and blocks > 1
    text = bytes([4 | ((axes is not None) | (rotation is not None) << 1 | shared << 2) << 4])
    text += b"".join(varint(axis) for axis in axes or ())
    text += varint(stages) + varint(blocks) + varint(entries) + varint(dimension)
    table = books.values.astype(np.float64).reshape(dims)
    rows = np.zeros((codes.shape[1], blocks, dimension))
    for r in range(codes.shape[1]):
        for s in range(blocks):
            for t in range(stages):
                rows[r, s] = rows[r, s] + table[t, 0 if number == 1 else s, codes[t, r, s]]
    exact = rows.astype(F32).reshape(codes.shape[1], blocks * dimension)
    parts: dict[str, np.ndarray] = {}
    text += books.text + coded[0]
    streams = books.streams + coded[1]
    values = exact
    if rotation is not None:
        size = blocks * dimension
        matrix = rotation.values.reshape(size, size)
        parts = {"blocks": exact, "rotation": matrix}
        text, streams = text + rotation.text, streams + rotation.streams
        values = exact @ matrix.T
    if axes is not None:
        ordered = values.reshape([shape[axis] for axis in axes])
        values = ordered.transpose(np.argsort(axes))
    return Form(text, streams, np.ascontiguousarray(values, F32).reshape(-1), parts)


def mix(x: int) -> int:
    """The finalizer of section 5.6."""
    x ^= x >> 16
    x = x * 0x85EBCA6B % 2**32
    x ^= x >> 13
    x = x * 0xC2B2AE35 % 2**32
    return x ^ x >> 16


def hashed(count: int, buckets: Form, seed: int, *, signed: bool = True) -> Form:
    """Kind 5."""
    words = buckets.values.view("<u4")
    start = mix((seed + 0x9E3779B1) % 2**32)
    out = []
    for i in range(count):
        h = mix(i % 2**32 ^ start)
        word = int(words[h % words.size])
        if signed and mix(h ^ 0x9E3779B1) >> 31:
            word ^= 1 << 31
        out.append(0 if signed and word == 1 << 31 else word)
    text = bytes([5 | signed << 4]) + varint(words.size) + struct.pack("<I", seed) + buckets.text
    return Form(text, buckets.streams, np.array(out, "<u4").view(F32))
