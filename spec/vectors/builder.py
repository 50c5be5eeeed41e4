"""Builds containers byte by byte from the specification, without any of cmodel's own code.

Everything here is the plainest way to write what the document says; `generate.py` uses it to make the
conformance vectors, good and bad.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SIGNATURE = bytes.fromhex("89434d440d0a1a0a")
MANIFEST, DATA, NOTES, LABELS = 1, 2, 3, 4
DEFLATED, PRESET, ANCILLARY = 1, 2, 8


def varint(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Signed varint."""
    return varint(2 * value if value >= 0 else -2 * value - 1)


def bits_lsb(pairs: list[tuple[int, int]]) -> bytes:
    """(value, width) pairs into an LSB-first bit string."""
    total = shift = 0
    for value, width in pairs:
        total |= value << shift
        shift += width
    return total.to_bytes((shift + 7) // 8, "little")


DICTIONARY = Path(__file__).resolve().parents[1] / "dictionary.bin"


def deflate(data: bytes, *, preset: bool = False) -> bytes:
    """Raw DEFLATE, with the preset dictionary or without."""
    zdict = DICTIONARY.read_bytes() if preset else b""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=zdict)
    return packer.compress(data) + packer.flush()


# Protocol Buffers


def message(*fields: tuple[int, bytes | int]) -> bytes:
    """A message: (number, bytes) is length-delimited, (number, int) a varint."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def layer(name: str, shared: list[str] | None = None, kind: str = "InnerProduct") -> bytes:
    """A LayerParameter: name 1, type 2, param 6 (ParamSpec: name 1)."""
    specs = [(6, message((1, text.encode())) if text else b"") for text in shared or []]
    return message((1, name.encode()), (2, kind.encode()), *specs)


def network(layers: list[bytes], name: str = "vector") -> bytes:
    """A NetParameter: name 1, layer 100."""
    return message((1, name.encode()), *((100, one) for one in layers))


# Files


@dataclass
class Part:
    """A section to be; None is filled in by the rules."""

    type: int
    stored: bytes
    flags: int = 0
    decoded: int | None = None
    crc: int | None = None
    size: int | None = None

    def entry(self) -> bytes:
        """Its entry of the section table."""
        size = len(self.stored) if self.size is None else self.size
        text = varint(self.type << 4 | self.flags) + varint(size)
        if self.flags & DEFLATED:
            text += varint(size if self.decoded is None else self.decoded)
        crc = zlib.crc32(self.stored) if self.crc is None else self.crc
        return text + struct.pack("<I", crc)


def file(
    parts: list[Part],
    *,
    log2: int = 0,
    version: tuple[int, int] = (1, 0),
    signature: bytes = SIGNATURE,
    table: bytes | None = None,
    table_size: int | None = None,
    reserved: int = 0,
    crc: int | None = None,
    fill: int = 0,
) -> bytes:
    """A whole file; the keywords forge what the rules would give."""
    if table is None:
        table = b"".join(part.entry() for part in parts)
    position = 20 + len(table)
    body = b""
    for part in parts:
        start = -(-position // (1 << log2)) * (1 << log2)
        body += bytes([fill]) * (start - position) + part.stored
        position = start + len(part.stored)
    size = len(table) if table_size is None else table_size
    head = struct.pack("<8sBBBBI", signature, *version, log2, reserved, size)
    check = zlib.crc32(head + table) if crc is None else crc
    return head + struct.pack("<I", check) + table + body


# Integer streams: (what the directory says, the bytes)

Coded = tuple[bytes, bytes]


def packed(values: list[int], width: int) -> Coded:
    """Coder 0."""
    return varint(width << 3), bits_lsb([(value, width) for value in values])


def huffman_lengths(values: list[int]) -> list[int]:
    """Code lengths of at most 11 bits: Huffman's, or a flat code where those are too long."""
    count: dict[int, int] = {}
    for value in values:
        count[value] = count.get(value, 0) + 1
    if len(count) == 1:
        lengths = {values[0]: 1}
    else:
        nodes = sorted((n, [s]) for s, n in count.items())
        lengths = dict.fromkeys(count, 0)
        while len(nodes) > 1:
            (n1, s1), (n2, s2) = nodes[:2]
            for symbol in s1 + s2:
                lengths[symbol] += 1
            nodes = sorted([*nodes[2:], (n1 + n2, s1 + s2)])
        if max(lengths.values()) > 11:
            symbols = sorted(count)
            width = (len(symbols) - 1).bit_length()
            spare = (1 << width) - len(symbols)
            lengths = {s: width - (i < spare) for i, s in enumerate(symbols)}
    return [lengths.get(symbol, 0) for symbol in range(max(count) + 1)]


def nibbles(numbers: list[int]) -> bytes:
    """Low nibble first."""
    return bits_lsb([(number, 4) for number in numbers])


def code_table(lengths: list[int], *, runs: bool = True) -> bytes:
    """Alphabet size and code lengths, with or without run codes."""
    out: list[int] = []
    at = 0
    while at < len(lengths):
        value, run = lengths[at], 1
        while runs and at + run < len(lengths) and lengths[at + run] == value and run < 274:
            run += 1
        again = run - (value > 0)
        if value:
            out.append(value)
        while again >= 3:
            if again >= 19:
                part = min(again, 274)
                rest = part - 19
                out += [14 if value else 15, rest & 15, rest >> 4]
            else:
                part = again
                out += [12 if value else 13, part - 3]
            again -= part
        out += [value] * again
        at += run
    return varint(len(lengths)) + nibbles(out)


def canonical(lengths: list[int]) -> dict[int, tuple[int, int]]:
    """Symbol -> (code, length)."""
    codes, code, last = {}, 0, 0
    for length, symbol in sorted((n, s) for s, n in enumerate(lengths) if n):
        code <<= length - last
        codes[symbol] = (code, length)
        code, last = code + 1, length
    return codes


def huffman_bits(values: list[int], codes: dict[int, tuple[int, int]]) -> bytes:
    """One sub-stream."""
    pairs = []
    for value in values:
        code, length = codes[value]
        pairs += [(code >> (length - 1 - i) & 1, 1) for i in range(length)]
    # One big integer is slow for long streams: by pieces of whole bytes.
    flat = np.array([bit for bit, _ in pairs], np.uint8)
    return np.packbits(flat, bitorder="little").tobytes()


def quartered(values: list[int], codes: dict[int, tuple[int, int]]) -> bytes:
    """One Huffman chunk."""
    if len(values) <= 4096:
        return huffman_bits(values, codes)
    q = -(-len(values) // 4)
    subs = [huffman_bits(values[j * q : (j + 1) * q], codes) for j in range(4)]
    return b"".join(varint(len(sub)) for sub in subs[:3]) + b"".join(subs)


def chunked(values: list[int], log2: int, chunk, head: int | None = None) -> bytes:
    """Chunk size byte, jump table and chunks, as sections 7.3 and 8.2 have them."""
    if len(values) <= 4096:
        return chunk(values)
    step = 1 << log2
    chunks = [chunk(values[i : i + step]) for i in range(0, len(values), step)]
    jump = b""
    if len(chunks) > 1:
        jump = b"".join(struct.pack("<II", len(one), zlib.crc32(one)) for one in chunks)
    return bytes([log2 if head is None else head]) + jump + b"".join(chunks)


def huffman(values: list[int], *, runs: bool = True, log2: int = 12) -> Coded:
    """Coder 1."""
    if not values:
        stream = b"\0"
    else:
        lengths = huffman_lengths(values)
        stream = code_table(lengths, runs=runs)
        if sum(length > 0 for length in lengths) > 1:
            codes = canonical(lengths)
            stream += chunked(values, log2, lambda part: quartered(part, codes))
    return varint(1) + varint(len(stream)), stream


def headless(coded: Coded, table: bytes, back: int) -> Coded:
    """The same stream without its table, which the `back`-th last one before it has."""
    coder = coded[0][0] & 7
    stream = coded[1].removeprefix(table)
    return varint(coder | back << 3) + varint(len(stream)), stream


def split(values: list[int], w: int, high: Coded) -> Coded:
    """Coder 3: `high` codes the high parts with a table of its own."""
    head = w | (0x80 if high[0][0] & 7 == 2 else 0)
    low = bits_lsb([(value & ((1 << w) - 1), w) for value in values])
    stream = bytes([head]) + low + high[1]
    return varint(3) + varint(len(stream)), stream


def planes(words: list[int], bits: int, transform: int, coders: list[str]) -> bytes:
    """Byte planes of words, plane k coded as `coders[k]` says: packed, huffman or (one value) rans."""
    top, every = 1 << (bits - 1), (1 << bits) - 1
    if transform == 0:
        moved = [(x << 1 | x >> (bits - 1)) & every for x in words]
    else:
        keys = [~x & every if x & top else x | top for x in words]
        moved = [(k - before) & every for k, before in zip(keys, [0, *keys[:-1]], strict=True)]
    out = bytes([transform])
    for k, coder in enumerate(coders):
        plane = [v >> 8 * k & 255 for v in moved]
        if coder == "packed":
            width = max(plane).bit_length() if plane else 0
            out += bytes([width]) + bits_lsb([(v, width) for v in plane])
        else:
            stream = huffman(plane)[1] if coder == "huffman" else varint(plane[0] + 1) + b"\xc0"
            out += bytes([0x10 if coder == "huffman" else 0x20]) + varint(len(stream)) + stream
    return out


# rANS


def frequencies(weights: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Symbol -> (f, F) from the weights of the used symbols."""
    spread, total = 4096 - len(weights), sum(weights.values())
    below, start, out = 0, 0, {}
    for symbol, weight in sorted(weights.items()):
        f = 1 + (below + weight) * spread // total - below * spread // total
        out[symbol] = (f, start)
        below, start = below + weight, start + f
    assert start == 4096
    return out


def listed_table(weights: dict[int, int], *, p: int, r: int, gaps: bool) -> bytes:
    """A listed table; the weights must be below 2^p, so that they stand for themselves."""
    pairs: list[tuple[int, int]] = []
    at, previous = 0, None
    for symbol, v in sorted(weights.items()):
        assert v < 1 << p
        if gaps:
            z = symbol - at
            k = (z + 1).bit_length() - 1
            pairs += [(1, 1)] * k + [(0, 1), (z + 1 - (1 << k), k)]
        if previous is None:
            pairs.append((v, p + 4))
        else:
            difference = v - previous
            m = 2 * difference if difference >= 0 else -2 * difference - 1
            pairs += [(1, 1)] * (m >> r) + [(0, 1), (m & ((1 << r) - 1), r)]
        previous, at = v, symbol + 1
    return bytes([p | r << 3 | gaps << 6]) + bits_lsb(pairs)


E_TABLE = [
    *(65536, 62757, 60097, 57549, 55109, 52773, 50535, 48393),
    *(46341, 44376, 42495, 40693, 38968, 37316, 35734, 34219),
]


def parametric_weights(size: int, c: int, a: int, b: int) -> dict[int, int]:
    """Weights of section 8.1's parametric table."""
    slope = ((a & 15) << (a >> 4 & 7)) * (-1 if a & 128 else 1)
    bend = (b & 15) << (b >> 4)
    loss = []
    for s in range(size):
        d = abs(4 * s - c)
        loss.append((slope * 512 * d + bend * d * d) >> 16)
    best = min(loss)
    return {
        s: 0 if (one - best) // 16 > 16 else E_TABLE[(one - best) % 16] >> (one - best) // 16
        for s, one in enumerate(loss)
    }


def rans_lane(values: list[int], table: dict[int, tuple[int, int]]) -> bytes:
    """A chunk of one lane."""
    x, words = 1, []
    for value in reversed(values):
        f, start = table[value]
        if x >= f << 20:
            words.append(x & 0xFFFF)
            x >>= 16
        x = x // f * 4096 + x % f + start
    head = x.to_bytes(4 if words else (x.bit_length() + 7) // 8, "little")
    return head + b"".join(word.to_bytes(2, "little") for word in reversed(words))


def rans_wide(values: list[int], table: dict[int, tuple[int, int]]) -> bytes:
    """A chunk of 32 lanes."""
    if len(values) <= 4096:
        return rans_lane(values, table)
    states, words = [1 << 16] * 32, []
    for i in reversed(range(len(values))):
        f, start = table[values[i]]
        x = states[i % 32]
        if x >= f << 20:
            words.append(x & 0xFFFF)
            x >>= 16
        states[i % 32] = x // f * 4096 + x % f + start
    return struct.pack("<32I", *states) + b"".join(w.to_bytes(2, "little") for w in reversed(words))


def rans(
    values: list[int],
    table: bytes,
    weights: dict[int, int],
    *,
    log2: int = 12,
    wide: bool = False,
) -> Coded:
    """Coder 2 with a listed or parametric table."""
    f = frequencies(weights)
    size = max(weights) + 1
    chunk = rans_wide if wide else rans_lane
    stream = varint(size) + table
    stream += chunked(values, log2, lambda part: chunk(part, f), log2 | wide << 7)
    return varint(2) + varint(len(stream)), stream


# Masks

LG = [
    *(0, 6, 11, 17, 22, 28, 33, 38, 44, 49, 54, 59, 63, 68, 73, 78, 82, 87, 92, 96, 100, 105),
    *(109, 113, 118, 122, 126, 130, 134, 138, 142, 146, 150, 154, 157, 161, 165, 169, 172, 176),
    *(179, 183, 186, 190, 193, 197, 200, 203, 207, 210, 213, 216, 220, 223, 226, 229, 232, 235),
    *(238, 241, 244, 247, 250, 253),
]
SQ = [
    *(32768, 38390, 43691, 48418, 52429, 55691, 58254, 60214, 61681, 62762, 63550, 64119, 64528),
    *(64820, 65028, 65176, 65281, 65355, 65408, 65446, 65472, 65491, 65504, 65513, 65520, 65525),
    *(65528, 65530, 65532, 65533, 65534, 65535, 65535),
]


def lg(v: int) -> int:
    """256 log2 v, by the table."""
    e = v.bit_length() - 1
    return 256 * e + LG[v * 64 // (1 << e) - 64]


def squash(x: int) -> int:
    """The logistic function of section 9.2."""
    a = min(abs(x), 4095)
    i, f = a >> 7, a & 127
    p = SQ[i] + ((SQ[i + 1] - SQ[i]) * f >> 7)
    return p if x >= 0 else 65536 - p


class RangeEncoder:
    """The encoder that section 9 describes."""

    def __init__(self) -> None:
        self.low, self.range, self.out = 0, 0xFFFFFFFF, 0
        self.bytes = 0

    def bit(self, bit: int, q: int) -> None:
        """Code one bit of probability q / 65536 of being 1."""
        bound = self.range * q // 65536
        if bit:
            self.range = bound
        else:
            self.low += bound
            self.range -= bound
        while self.range < 1 << 24:
            # `out` is all bytes put out so far as one number: a carry runs into it by itself.
            self.low <<= 8
            self.range <<= 8
            self.bytes += 1

    def finish(self) -> bytes:
        """Return the code bytes: one for every renormalisation and one more."""
        total = (self.low + (1 << 24) - 1) >> 24
        return total.to_bytes(self.bytes + 1, "big")


def mask(positions: list[int], rows: int, columns: int, period: int = 0) -> bytes:
    """A mask stream."""
    count = len(positions)
    if count in (0, rows * columns):
        return b""
    element = [0] * (rows * columns)
    for position in positions:
        element[position] = 1
    d = 16384
    p1 = 1 + count * (d - 2) // (rows * columns)
    p0 = d - p1

    def stretch(ones: int, zeros: int, k: int) -> int:
        return lg(ones * d + k * p1) - lg(zeros * d + k * p0)

    coder = RangeEncoder()
    w = [-32768, 40960, 32768, 24576]
    column, above, above2, n = [0] * columns, [0] * columns, [0] * columns, 0
    one, every = [0] * 64, [0] * 64
    used = empty = 0
    left = count
    bias = lg(p1) - lg(p0)
    for row in range(rows):
        if not left:
            break
        line = element[row * columns : (row + 1) * columns]
        q = squash(lg(used * d + d // 2) - lg(empty * d + d // 2))
        coder.bit(int(any(line)), q)
        if not any(line):
            empty += 1
        else:
            used += 1
            ones = seen = 0
            current = [0] * columns
            for j in range(columns):
                if not left:
                    break

                def cur(i: int, current: list[int] = current) -> int:
                    return current[i] if i >= 0 else 0

                c = cur(j - 1) + 2 * cur(j - 2) + 4 * above[j] + 8 * above2[j]
                if period:
                    c += 16 * cur(j - period) + 32 * cur(j - 2 * period)
                x = [
                    bias,
                    stretch(column[j], n - column[j], 1),
                    stretch(ones, seen - ones, 24),
                    stretch(one[c], every[c] - one[c], 1),
                ]
                q = squash(sum(a * b for a, b in zip(w, x, strict=True)) >> 16)
                b = line[j]
                coder.bit(b, q)
                current[j] = b
                error = 65536 * b - q
                w = [
                    max(-524288, min(524288, a + ((v * error + 32768) >> 16)))
                    for a, v in zip(w, x, strict=True)
                ]
                column[j] += b
                ones += b
                one[c] += b
                left -= b
                seen += 1
                if seen == 65535:
                    seen, ones = seen >> 1, ones >> 1
                every[c] += 1
                if every[c] == 1024:
                    every[c], one[c] = 512, one[c] >> 1
            above2, above = above, current
            n += 1
            if n == 65535:
                n, column = n >> 1, [v >> 1 for v in column]
        if used + empty == 65535:
            used, empty = used >> 1, empty >> 1
    return varint(period) + coder.finish()


# Tensors


@dataclass
class Form:
    """What the directory says of a form, its streams, and the float32 values that it stands for."""

    text: bytes
    streams: bytes
    values: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)


def crc_of(values: np.ndarray) -> int:
    """CRC-32 of little-endian float32 words."""
    return zlib.crc32(np.ascontiguousarray(values, "<f4").tobytes())


@dataclass
class Tensor:
    """A tensor to be: `delta` layers on from the one before."""

    delta: int
    shape: tuple[int, ...]
    form: Form
    blob: int | None = None
    begins: bool = False
    crc: int | None = None

    def text(self, first: bool) -> bytes:
        """Its directory entry."""
        head = self.delta << 2 | (self.begins or first) << 1 | (self.blob is not None)
        out = varint(head) + (b"" if self.blob is None else varint(self.blob))
        return (
            out + varint(len(self.shape)) + b"".join(varint(n) for n in self.shape) + self.form.text
        )

    def checksum(self) -> bytes:
        """The CRC-32 that the directory states."""
        exact = self.form.parts.get("blocks", self.form.values)
        return struct.pack("<I", crc_of(exact) if self.crc is None else self.crc)


def directory(tensors: list[Tensor]) -> bytes:
    """The directory of tensors."""
    checksums = b"".join(tensor.checksum() for tensor in tensors)
    body = b"".join(tensor.text(index == 0) for index, tensor in enumerate(tensors))
    return varint(len(tensors)) + checksums + body


def data_parts(tensors: list[Tensor]) -> list[Part]:
    """The data sections of tensors."""
    parts: list[Part] = []
    for index, tensor in enumerate(tensors):
        if tensor.begins or index == 0:
            parts.append(Part(DATA, b""))
        parts[-1].stored += tensor.form.streams
    return parts
