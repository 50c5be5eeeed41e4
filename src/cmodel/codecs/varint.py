"""Varints as streams have them: unsigned LEB128 of at most 32 bits, in the shortest form."""

from __future__ import annotations

from cmodel.errors import BadStream


def varint(value: int) -> bytes:
    """Return the bytes of an integer of 0 to 2**32 - 1."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at offset `at` and the offset behind it; BadStream where there is none."""
    value = 0
    for i, byte in enumerate(data[at : at + 5]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >= 1 << 32 or (i and not byte):
                break
            return value, at + i + 1
    raise BadStream("no varint of 32 bits in its shortest form", where=f"byte {at} of the stream")
