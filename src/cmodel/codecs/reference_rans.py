"""rANS once more in plain Python: slow, obvious, and held to the kernels by tests.

`ValueError` stands for every fault of a stream. How a table is chosen is the encoder's own affair
and has no twin here.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from itertools import accumulate
from math import floor

from cmodel.codecs.reference import SMALL, check, read_varint

TOTAL = 4096
LANES = 32
LOW = 1 << 16
POWERS = [floor(2 ** (16 - i / 16) + 0.5) for i in range(16)]


class _Bits:
    """A bit string, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self.bits = [byte >> i & 1 for byte in data for i in range(8)]
        self.at = 0

    def take(self, count: int) -> int:
        check(self.at + count <= len(self.bits), "end of the table")
        value = sum(self.bits[self.at + i] << i for i in range(count))
        self.at += count
        return value

    def ones(self) -> int:
        count = 0
        while self.take(1):
            count += 1
        return count


def read_table(data: bytes) -> tuple[list[int], int]:
    """Return the frequencies of symbols 0 to A - 1 and the bytes of the table."""
    alphabet, at = read_varint(data, 0)
    check(alphabet <= 2048, "alphabet")
    if not alphabet:
        return [], at
    check(at < len(data), "head")
    head = data[at]
    at += 1
    if head == 0xC0:
        return [0] * (alphabet - 1) + [TOTAL], at
    weights: list[int | None]
    if head == 0x80:
        centre, at = read_varint(data, at)
        check(centre <= 4 * alphabet and at + 2 <= len(data), "shape")
        weights = list(_shape(alphabet, centre, data[at], data[at + 1]))
        at += 2
    else:
        check(head < 0x80, "head")
        bits = _Bits(data[at:])
        weights = _listed(bits, alphabet, head & 7, head >> 3 & 7, head >> 6)
        padding = -bits.at % 8
        check(bits.take(padding) == 0, "padding")
        at += bits.at // 8
    used = [w for w in weights if w is not None]
    check(len(used) >= 2 and sum(used) > 0, "weights")
    spare, total = TOTAL - len(used), sum(used)
    bounds = [below * spare // total for below in accumulate([0, *[w or 0 for w in weights]])]
    pairs = zip(weights, bounds, bounds[1:], strict=False)
    return [0 if w is None else 1 + after - before for w, before, after in pairs], at


def _listed(bits: _Bits, alphabet: int, precision: int, rice: int, holes: int) -> list[int | None]:
    weights: list[int | None] = []
    level = -1
    while len(weights) < alphabet:
        if holes:
            k = bits.ones()
            check(k <= 11, "unused symbols")
            weights += [None] * ((1 << k) - 1 + bits.take(k))
            check(len(weights) < alphabet, "unused symbols")
        if level < 0:
            level = bits.take(precision + 4)
        else:
            q = bits.ones()
            check(q <= 1 << (precision + 5), "weight")
            m = (q << rice) + bits.take(rice)
            level += -(m + 1) // 2 if m & 1 else m // 2
            check(0 <= level < 1 << (precision + 4), "weight")
        one = 1 << precision
        weights.append(level if level < one else (one + level % one) << (level // one - 1))
    return weights


def _shape(alphabet: int, centre: int, a: int, b: int) -> list[int]:
    slope = (a & 15) << (a >> 4 & 7)
    if a & 128:
        slope = -slope
    bend = (b & 15) << (b >> 4)
    distances = [abs(4 * s - centre) for s in range(alphabet)]
    losses = [(slope * 512 * d + bend * d * d) >> 16 for d in distances]
    steps = [loss - min(losses) for loss in losses]
    return [POWERS[k % 16] >> (k // 16) if k // 16 <= 16 else 0 for k in steps]


class _Model:
    def __init__(self, frequencies: list[int]) -> None:
        self.frequencies = frequencies
        self.starts = list(accumulate([0, *frequencies]))

    def pop(self, x: int) -> tuple[int, int]:
        slot = x % TOTAL
        symbol = bisect_right(self.starts, slot) - 1
        return symbol, self.frequencies[symbol] * (x // TOTAL) + slot - self.starts[symbol]

    def push(self, x: int, symbol: int) -> int:
        f = self.frequencies[symbol]
        return x // f * TOTAL + x % f + self.starts[symbol]


def encode(symbols: list[int], table: bytes, *, chunk_log2: int = 18, wide: bool = False) -> bytes:
    """Code symbols with the frequencies of a table; the stream is without it."""
    frequencies, _ = read_table(table)
    if TOTAL in frequencies or not symbols:
        return b""
    model = _Model(frequencies)
    if len(symbols) <= SMALL:
        return _chunk(symbols, model, wide=False)
    step = 1 << chunk_log2
    chunks = [_chunk(symbols[i : i + step], model, wide) for i in range(0, len(symbols), step)]
    out = bytes([chunk_log2 | (128 if wide else 0)])
    if len(chunks) > 1:
        for chunk in chunks:
            out += len(chunk).to_bytes(4, "little") + zlib.crc32(chunk).to_bytes(4, "little")
    return out + b"".join(chunks)


def decode(data: bytes, count: int, table: bytes | None = None) -> list[int]:
    """Decode `count` symbols; `table` is the one that the stream lacks."""
    frequencies, at = read_table(data if table is None else table)
    if table is None:
        check((len(frequencies) > 0) == (count > 0), "alphabet")
    else:
        check(at == len(table) and (len(frequencies) > 0 or not count), "table")
        at = 0
    if TOTAL in frequencies or not count:
        check(at == len(data), "end")
        return [len(frequencies) - 1] * count
    model = _Model(frequencies)
    if count <= SMALL:
        return _read_chunk(data[at:], count, model, wide=False)
    check(at < len(data), "chunk size")
    log2, wide = data[at] & 127, data[at] >= 128
    check(12 <= log2 <= 20, "chunk size")
    at += 1
    parts = [min(1 << log2, count - i) for i in range(0, count, 1 << log2)]
    if len(parts) == 1:
        return _read_chunk(data[at:], count, model, wide)
    jumps, at = at, at + 8 * len(parts)
    check(at <= len(data), "jump table")
    symbols: list[int] = []
    for i, n in enumerate(parts):
        size = int.from_bytes(data[jumps + 8 * i : jumps + 8 * i + 4], "little")
        crc = int.from_bytes(data[jumps + 8 * i + 4 : jumps + 8 * i + 8], "little")
        chunk = data[at : at + size]
        check(len(chunk) == size and zlib.crc32(chunk) == crc, "chunk")
        symbols += _read_chunk(chunk, n, model, wide)
        at += size
    check(at == len(data), "end")
    return symbols


def _chunk(symbols: list[int], model: _Model, wide: bool) -> bytes:
    lanes = LANES if wide and len(symbols) > SMALL else 1
    states = [LOW if lanes > 1 else 1] * lanes
    words: list[int] = []
    for i in reversed(range(len(symbols))):
        x = states[i % lanes]
        if x >= model.frequencies[symbols[i]] << 20:
            words.append(x % LOW)
            x //= LOW
        states[i % lanes] = model.push(x, symbols[i])
    tail = b"".join(word.to_bytes(2, "little") for word in reversed(words))
    if lanes == 1 and not words:
        return states[0].to_bytes((states[0].bit_length() + 7) // 8, "little")
    return b"".join(x.to_bytes(4, "little") for x in states) + tail


def _read_chunk(data: bytes, n: int, model: _Model, wide: bool) -> list[int]:
    if wide and n > SMALL:
        lanes, first = LANES, LOW
        check(len(data) >= 4 * LANES and len(data) % 2 == 0, "size")
    else:
        lanes, first = 1, 1
        check(len(data) <= 4 or len(data) % 2 == 0, "size")
        check(len(data) > 4 or (len(data) > 0 and data[-1] > 0), "state")
    states = [int.from_bytes(data[4 * j : 4 * j + 4], "little") for j in range(lanes)]
    rest = data[4 * lanes :]
    words = [int.from_bytes(rest[i : i + 2], "little") for i in range(0, len(rest), 2)]
    check((lanes == 1 and not words) or min(states) >= LOW, "state")
    symbols = []
    at = 0
    for i in range(n):
        symbol, x = model.pop(states[i % lanes])
        if x < LOW and (at < len(words) or lanes > 1):
            check(at < len(words), "words")
            x = x * LOW + words[at]
            at += 1
        states[i % lanes] = x
        symbols.append(symbol)
    check(at == len(words) and all(x == first for x in states), "end")
    return symbols
