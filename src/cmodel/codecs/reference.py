"""The codecs once more in plain Python and NumPy: slow, obvious, and held to the kernels by tests.

Each function does what its namesake does, in the order of the specification; `ValueError` stands
for every fault of a stream.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MAX_BITS = 11
SMALL = 4096


def check(condition: bool, what: str) -> None:
    """Raise ValueError unless `condition` holds."""
    if not condition:
        raise ValueError(what)


def varint(value: int) -> bytes:
    """Return an integer as unsigned LEB128."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at offset `at` and the offset behind it."""
    value = 0
    for i, byte in enumerate(data[at : at + 5]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            check(value < 1 << 32 and not (i and byte == 0), "varint")
            return value, at + i + 1
    raise ValueError("varint")


def bitpack_encode(ints: NDArray[np.integer], width: int) -> bytes:
    """Pack integers, least significant bit first."""
    bits = (ints.astype(np.int64)[:, None] >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def bitpack_decode(data: bytes, count: int, width: int) -> NDArray[np.int64]:
    """Unpack integers."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    check(bits.size == (count * width + 7) // 8 * 8, "size")
    check(not bits[count * width :].any(), "padding")
    values = bits[: count * width].reshape(count, width).astype(np.int64)
    ints: NDArray[np.int64] = (values << np.arange(width)).sum(axis=1)
    return ints


def relindex_encode(positions: list[int], b: int) -> list[int]:
    """Positions to gap symbols."""
    escape = (1 << b) - 1
    symbols: list[int] = []
    for previous, position in pairwise([-1, *positions]):
        escapes, rest = divmod(position - previous - 1, escape)
        symbols += [escape] * escapes + [rest]
    return symbols


def relindex_decode(symbols: list[int], count: int, size: int, b: int) -> list[int]:
    """Gap symbols to positions."""
    escape = (1 << b) - 1
    positions: list[int] = []
    at = -1
    for symbol in symbols:
        check(symbol <= escape, "symbol")
        at += symbol if symbol == escape else symbol + 1
        check(at < size, "position")
        if symbol != escape:
            positions.append(at)
    check(len(positions) == count and (not symbols or symbols[-1] != escape), "count")
    return positions


def huffman_lengths(histogram: list[int]) -> list[int]:
    """Optimal code lengths up to 11 bits by package-merge, with each package's symbols listed."""
    used = [s for s, n in enumerate(histogram) if n]
    lengths = [0] * (used[-1] + 1 if used else 0)
    if len(used) == 1:
        lengths[used[0]] = 1
        return lengths
    # Of equal weights the larger symbol comes first, so that the smaller one stays shorter.
    leaves = sorted(((histogram[s], [s]) for s in used), key=lambda x: (x[0], -x[1][0]))
    items = leaves
    for _ in range(MAX_BITS - 1):
        pairs = zip(items[::2], items[1::2], strict=False)
        packages = [(one[0] + two[0], one[1] + two[1]) for one, two in pairs]
        # The sort is stable: of equal weights leaves come before packages.
        items = sorted(leaves + packages, key=lambda item: item[0])
    for _, symbols in items[: 2 * len(used) - 2]:
        for s in symbols:
            lengths[s] += 1
    return lengths


def huffman_codes(lengths: list[int]) -> dict[int, str]:
    """Canonical codes as strings of 0 and 1: shorter ones first, then by symbol."""
    codes = {}
    code = 0
    for bits in range(1, MAX_BITS + 1):
        code <<= 1
        for symbol, length in enumerate(lengths):
            if length == bits:
                codes[symbol] = f"{code:0{bits}b}"
                code += 1
    return codes


def huffman_encode(symbols: list[int], chunk_log2: int = 16) -> bytes:
    """Code symbols below 2048."""
    histogram = np.bincount(np.array(symbols, np.int64)).tolist() if symbols else []
    lengths = huffman_lengths(histogram)
    out = varint(len(lengths)) + _nibbles(_length_nibbles(lengths))
    if sum(length > 0 for length in lengths) < 2:
        return out
    codes = huffman_codes(lengths)
    if len(symbols) <= SMALL:
        return out + _chunk(symbols, codes)
    out += bytes([chunk_log2])
    step = 1 << chunk_log2
    chunks = [_chunk(symbols[i : i + step], codes) for i in range(0, len(symbols), step)]
    if len(chunks) > 1:
        for chunk in chunks:
            out += len(chunk).to_bytes(4, "little") + zlib.crc32(chunk).to_bytes(4, "little")
    return out + b"".join(chunks)


def huffman_decode(data: bytes, count: int) -> list[int]:
    """Decode `count` symbols."""
    alphabet, at = read_varint(data, 0)
    check(alphabet <= 2048 and (alphabet > 0) == (count > 0), "alphabet")
    lengths, at = _read_lengths(data, at, alphabet)
    used = [s for s, length in enumerate(lengths) if length]
    check(not lengths or lengths[-1] > 0, "last symbol")
    if len(used) < 2:
        check(at == len(data) and all(lengths[s] == 1 for s in used), "single symbol")
        return used * count
    check(sum(1 << (MAX_BITS - lengths[s]) for s in used) == 1 << MAX_BITS, "code")
    symbol_of = {code: s for s, code in huffman_codes(lengths).items()}
    if count <= SMALL:
        return _read_chunk(data[at:], count, symbol_of)
    check(at < len(data) and 12 <= data[at] <= 20, "chunk size")
    step = 1 << data[at]
    at += 1
    parts = [min(step, count - i) for i in range(0, count, step)]
    if len(parts) == 1:
        return _read_chunk(data[at:], count, symbol_of)
    words = np.frombuffer(data[at : at + 8 * len(parts)], "<u4").tolist()
    check(len(words) == 2 * len(parts), "jump table")
    at += 8 * len(parts)
    symbols: list[int] = []
    for n, size, crc in zip(parts, words[::2], words[1::2], strict=True):
        chunk = data[at : at + size]
        check(len(chunk) == size and zlib.crc32(chunk) == crc, "chunk")
        symbols += _read_chunk(chunk, n, symbol_of)
        at += size
    check(at == len(data), "end")
    return symbols


def _length_nibbles(lengths: list[int]) -> list[int]:
    """Code lengths as nibbles: 0..11 a length; 12, 14 repeat the one before; 13, 15 are zeros."""
    out: list[int] = []
    s = 0
    while s < len(lengths):
        length = lengths[s]
        run = 1
        while s + run < len(lengths) and lengths[s + run] == length:
            run += 1
        s += run
        if length:
            out.append(length)
            run -= 1
        while run:
            part = min(run, 274)
            run -= part
            if part < 3:
                out += [length] * part
            elif part < 19:
                out += [12 if length else 13, part - 3]
            else:
                out += [14 if length else 15, (part - 19) & 15, (part - 19) >> 4]
    return out


def _nibbles(values: list[int]) -> bytes:
    padded = [*values, 0]
    return bytes(padded[i] | padded[i + 1] << 4 for i in range(0, len(values), 2))


def _read_lengths(data: bytes, at: int, alphabet: int) -> tuple[list[int], int]:
    nibbles = [n for byte in data[at : at + 2048] for n in (byte & 15, byte >> 4)]
    lengths: list[int] = []
    i = 0
    while len(lengths) < alphabet:
        value = nibbles[i] if i < len(nibbles) else 16
        need = 1 if value <= MAX_BITS else 2 if value < 14 else 3
        check(i + need <= len(nibbles), "code lengths")
        if value <= MAX_BITS:
            lengths.append(value)
        else:
            check(value in (13, 15) or bool(lengths), "repeat")
            run = nibbles[i + 1] + (3 if need == 2 else 19 + 16 * nibbles[i + 2])
            lengths += [0 if value in (13, 15) else lengths[-1]] * run
        i += need
    check(len(lengths) == alphabet and not (i & 1 and nibbles[i]), "code lengths")
    return lengths, at + (i + 1) // 2


def _quarters(n: int) -> list[int]:
    quarter = -(-n // 4)
    return [quarter, quarter, quarter, n - 3 * quarter] if n > SMALL else [n]


def _chunk(symbols: list[int], codes: dict[int, str]) -> bytes:
    parts = []
    at = 0
    for n in _quarters(len(symbols)):
        text = "".join(codes[s] for s in symbols[at : at + n])
        bits = np.array([int(bit) for bit in text], np.uint8)
        parts.append(np.packbits(bits, bitorder="little").tobytes())
        at += n
    return b"".join(varint(len(part)) for part in parts[:-1]) + b"".join(parts)


def _read_chunk(data: bytes, n: int, symbol_of: dict[str, int]) -> list[int]:
    parts = _quarters(n)
    sizes = []
    at = 0
    for _ in parts[:-1]:
        size, at = read_varint(data, at)
        sizes.append(size)
    check(sum(sizes) <= len(data) - at, "sub-streams")
    sizes.append(len(data) - at - sum(sizes))
    symbols: list[int] = []
    for count, size in zip(parts, sizes, strict=True):
        bits = np.unpackbits(np.frombuffer(data[at : at + size], np.uint8), bitorder="little")
        symbols += _read_bits("".join(map(str, bits.tolist())), count, symbol_of)
        at += size
    return symbols


def _read_bits(bits: str, count: int, symbol_of: dict[str, int]) -> list[int]:
    symbols = []
    at = 0
    for _ in range(count):
        length = next((n for n in range(1, MAX_BITS + 1) if bits[at : at + n] in symbol_of), 0)
        check(0 < length <= len(bits) - at, "sub-stream")
        symbols.append(symbol_of[bits[at : at + length]])
        at += length
    check(len(bits) - at < 8 and "1" not in bits[at:], "padding")
    return symbols
