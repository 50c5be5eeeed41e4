"""Header and section table (specification, section 2)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from cmodel.errors import (
    BadHeader,
    BadSignature,
    BadVersion,
    ChecksumMismatch,
    TrailingData,
    Truncated,
    UnknownFeature,
)

SIGNATURE = b"\x89CMD\r\n\x1a\n"
VERSION = (0, 2)
HEADER_SIZE = 32
ENTRY_SIZE = 32
MAX_SECTIONS = 65536
MAX_ALIGNMENT_LOG2 = 12
MAX_SIZE = 1 << 53
# Of manifest, notes and labels, decoded.
MAX_TEXT = 4 << 20

MANIFEST, DATA, NOTES, LABELS = 1, 2, 3, 4
SECTION_NAMES = {MANIFEST: "manifest", DATA: "data", NOTES: "notes", LABELS: "labels"}
DEFLATED = 1
ANCILLARY = 1 << 15

_HEADER = struct.Struct("<8sBBBBIQII")
_ENTRY = struct.Struct("<HHIQQQ")


@dataclass(frozen=True)
class Section:
    """An entry of the section table; sizes and offset in bytes."""

    type: int
    flags: int
    crc32: int
    offset: int
    stored_size: int
    decoded_size: int

    @property
    def deflated(self) -> bool:
        """Whether the stored bytes are deflated."""
        return bool(self.flags & DEFLATED)

    @property
    def ancillary(self) -> bool:
        """Whether a reader that does not know the type may skip it."""
        return bool(self.flags & ANCILLARY)

    @property
    def name(self) -> str:
        """Name of its type."""
        return SECTION_NAMES.get(self.type, f"type {self.type}")


def align(offset: int, alignment: int) -> int:
    """Return the first multiple of `alignment` at or after `offset`."""
    return -(-offset // alignment) * alignment


def first_offset(count: int, alignment: int) -> int:
    """Offset of the first of `count` sections."""
    return align(HEADER_SIZE + ENTRY_SIZE * count, alignment)


def pack_head(sections: Sequence[Section], alignment_log2: int, file_size: int) -> bytes:
    """Return header and section table."""
    table = b"".join(
        _ENTRY.pack(s.type, s.flags, s.crc32, s.offset, s.stored_size, s.decoded_size)
        for s in sections
    )
    header = _HEADER.pack(SIGNATURE, *VERSION, alignment_log2, 0, len(sections), file_size, 0, 0)
    crc = zlib.crc32(table, zlib.crc32(header[:28]))
    return header[:28] + struct.pack("<I", crc) + table


def parse_head(data: memoryview) -> tuple[list[Section], int]:
    """Check header and section table of a whole file; return the sections and log2 of alignment.

    Raises
    ------
    BadSignature, BadVersion, Truncated, TrailingData, BadHeader, ChecksumMismatch, UnknownFeature
    """
    signature = bytes(data[:8])
    if signature != SIGNATURE:
        if signature and SIGNATURE.startswith(signature):
            raise Truncated("the file ends within its signature")
        raise BadSignature(
            "this is not a .cmodel container",
            notes=[f"it starts with {signature.hex(' ') or 'nothing: it is empty'}"],
        )
    if len(data) < HEADER_SIZE:
        raise Truncated(f"the file has {len(data)} bytes, less than a header")
    _, major, minor, log2, zero, count, size, zero32, crc = _HEADER.unpack(data[:HEADER_SIZE])
    if (major, minor) != VERSION:
        raise BadVersion(
            f"format version {major}.{minor} is not known",
            notes=[f"this is a reader of version {VERSION[0]}.{VERSION[1]}"],
            hint="pack the model again, or install the release of cmodel that wrote it",
        )
    if len(data) < size:
        raise Truncated(f"the file has {len(data)} bytes of the {size} that its header states")
    if len(data) > size:
        raise TrailingData(f"{len(data) - size} bytes follow the end that the header states")
    if not 1 <= count <= MAX_SECTIONS or log2 > MAX_ALIGNMENT_LOG2 or zero or zero32:
        raise BadHeader("a field of the header is out of range")
    end = HEADER_SIZE + ENTRY_SIZE * count
    if end > size:
        raise Truncated(f"the section table needs {end} bytes, the file has {size}")
    if zlib.crc32(data[HEADER_SIZE:end], zlib.crc32(data[:28])) != crc:
        raise ChecksumMismatch("the CRC-32 of header and section table does not match")
    sections = [
        Section(*_ENTRY.unpack(data[start : start + ENTRY_SIZE]))
        for start in range(HEADER_SIZE, end, ENTRY_SIZE)
    ]
    _check_sections(data, sections, 1 << log2)
    return sections, log2


def _check_sections(data: memoryview, sections: Sequence[Section], alignment: int) -> None:
    position = HEADER_SIZE + ENTRY_SIZE * len(sections)
    for index, section in enumerate(sections):
        where = f"section {index} ({section.name})"
        start = align(position, alignment)
        if section.offset != start:
            raise BadHeader(f"offset {section.offset} where {start} is due", where=where)
        end = start + section.stored_size
        if end > len(data) or section.decoded_size > MAX_SIZE:
            raise BadHeader("it reaches beyond the end of the file", where=where)
        if any(data[position:start]):
            raise BadHeader("padding before it is not zero", where=where)
        if section.flags & ~(DEFLATED | ANCILLARY) or (
            not section.deflated and section.stored_size != section.decoded_size
        ):
            raise BadHeader("flags or sizes are not allowed", where=where)
        if section.type not in SECTION_NAMES and not section.ancillary:
            raise UnknownFeature(f"critical section type {section.type} is not known", where=where)
        if section.type in SECTION_NAMES and section.ancillary != (section.type in (NOTES, LABELS)):
            raise BadHeader("the ancillary flag is wrong", where=where)
        if section.type == DATA and section.deflated:
            raise BadHeader("data sections are never deflated", where=where)
        position = end
    if position != len(data):
        raise BadHeader("bytes after the last section")
    types = [section.type for section in sections]
    if types[0] != MANIFEST or any(types.count(t) > 1 for t in (MANIFEST, NOTES, LABELS)):
        raise BadHeader("a file has one manifest, first, and at most one each of notes and labels")
