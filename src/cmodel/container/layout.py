"""Header and section table (specification, section 2)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cmodel.container.varints import ByteReader, ByteWriter
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
# The newest that is read; a file states the lowest that has all that it uses.
VERSION = (1, 1)
HEADER_SIZE = 20
MAX_SECTIONS = 65536
MAX_TYPE = 65535
MAX_ALIGNMENT_LOG2 = 12
# Of manifest, notes and labels, decoded.
MAX_TEXT = 4 << 20

MANIFEST, DATA, NOTES, LABELS = 1, 2, 3, 4
SECTION_NAMES = {MANIFEST: "manifest", DATA: "data", NOTES: "notes", LABELS: "labels"}
DEFLATED, PRESET, ANCILLARY = 1, 2, 8

# Without its CRC-32.
_HEADER = struct.Struct("<8sBBBBI")


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
    def preset(self) -> bool:
        """Whether the preset dictionary stands before what is deflated."""
        return bool(self.flags & PRESET)

    @property
    def ancillary(self) -> bool:
        """Whether a reader that does not know the type may skip it."""
        return bool(self.flags & ANCILLARY)

    @property
    def name(self) -> str:
        """Name of its type."""
        return SECTION_NAMES.get(self.type, f"type {self.type}")


@dataclass(frozen=True)
class Head:
    """What header and section table say."""

    version: tuple[int, int]
    alignment_log2: int
    sections: list[Section]


def align(offset: int, alignment: int) -> int:
    """Return the first multiple of `alignment` at or after `offset`."""
    return -(-offset // alignment) * alignment


def pack_table(sections: Sequence[Section]) -> bytes:
    """Return the section table; where a section lies follows from the sizes before it."""
    table = ByteWriter()
    for section in sections:
        table.varint(section.type << 4 | section.flags)
        table.varint(section.stored_size)
        if section.deflated:
            table.varint(section.decoded_size)
        table.word(section.crc32)
    return table.bytes()


def pack_head(sections: Sequence[Section], alignment_log2: int, minor: int = 0) -> bytes:
    """Return header and section table of a file of this minor version."""
    table = pack_table(sections)
    fields = _HEADER.pack(SIGNATURE, VERSION[0], minor, alignment_log2, 0, len(table))
    return fields + struct.pack("<I", zlib.crc32(table, zlib.crc32(fields))) + table


def parse_head(data: memoryview) -> Head:
    """Check header, section table and padding of a whole file.

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
    if len(data) > 9 and data[8] != VERSION[0]:
        raise BadVersion(
            f"format version {data[8]}.{data[9]} is not known",
            notes=[f"this is a reader of version {VERSION[0]}.{VERSION[1]}"],
            hint="pack the model again, or install the release of cmodel that wrote it",
        )
    if len(data) < HEADER_SIZE:
        raise Truncated(f"the file has {len(data)} bytes, less than a header")
    _, major, minor, log2, zero, size = _HEADER.unpack(data[: _HEADER.size])
    end = HEADER_SIZE + size
    if end > len(data):
        raise Truncated(f"header and section table take {end} bytes, the file has {len(data)}")
    (crc,) = struct.unpack("<I", data[_HEADER.size : HEADER_SIZE])
    if zlib.crc32(data[HEADER_SIZE:end], zlib.crc32(data[: _HEADER.size])) != crc:
        raise ChecksumMismatch("the CRC-32 of header and section table does not match")
    if log2 > MAX_ALIGNMENT_LOG2 or zero:
        raise BadHeader("a field of the header is out of range")
    sections = _parse_table(bytes(data[HEADER_SIZE:end]))
    _check_sections(sections)
    return Head((major, minor), log2, _placed(data, sections, end, 1 << log2))


def _parse_table(data: bytes) -> list[Section]:
    """Read the entries; where the sections lie is not yet known."""
    reader = ByteReader(data, "the section table", BadHeader)
    sections: list[Section] = []
    while not reader.at_end:
        if len(sections) == MAX_SECTIONS:
            raise BadHeader(f"there are more than {MAX_SECTIONS} sections")
        head = reader.varint(MAX_TYPE << 4 | 15)
        stored = reader.varint()
        decoded = reader.varint() if head & DEFLATED else stored
        sections.append(Section(head >> 4, head & 15, reader.word(), 0, stored, decoded))
    return sections


def _check_sections(sections: Sequence[Section]) -> None:
    for index, section in enumerate(sections):
        where = f"section {index} ({section.name})"
        if section.type not in SECTION_NAMES:
            if not section.ancillary:
                raise UnknownFeature(
                    f"critical section type {section.type} is not known", where=where
                )
            continue
        if section.flags & ~(DEFLATED | PRESET | ANCILLARY):
            raise UnknownFeature(f"the flags {section.flags:04b} are not known", where=where)
        if section.preset and not section.deflated:
            raise BadHeader("a dictionary and no deflation", where=where)
        if section.ancillary != (section.type in (NOTES, LABELS)):
            raise BadHeader("the ancillary flag is wrong", where=where)
        if section.type == DATA and section.deflated:
            raise BadHeader("data sections are never deflated", where=where)
    types = [section.type for section in sections]
    if types[:1] != [MANIFEST] or any(types.count(t) > 1 for t in (MANIFEST, NOTES, LABELS)):
        raise BadHeader("a file has one manifest, first, and at most one each of notes and labels")


def _placed(
    data: memoryview, sections: Sequence[Section], position: int, alignment: int
) -> list[Section]:
    """Return the sections with their offsets."""
    found = []
    for index, section in enumerate(sections):
        start = align(position, alignment)
        end = start + section.stored_size
        if end > len(data):
            raise Truncated(
                f"section {index} ({section.name}) ends at {end}, the file has {len(data)} bytes"
            )
        if any(data[position:start]):
            raise BadHeader(f"the padding before section {index} ({section.name}) is not zero")
        found.append(replace(section, offset=start))
        position = end
    if position != len(data):
        raise TrailingData(f"{len(data) - position} bytes follow the last section")
    return found
