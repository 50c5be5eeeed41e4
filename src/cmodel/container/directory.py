"""The tensor directory: which tensors there are, of which form, and where their streams lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmodel.container.form_writer import write_form
from cmodel.container.forms import Stored, read_form, read_shape
from cmodel.container.streams import Cursor, Sink
from cmodel.container.varints import ByteReader, ByteWriter
from cmodel.errors import BadManifest, LimitMemory
from cmodel.net import Shape
from cmodel.tensors import Form, crc32_of

# (layer index, blob index); the mean image stands one past the last layer.
Place = tuple[int, int]
MEAN_IMAGE_NAME = ":mean"

MAX_TENSORS = 1 << 20
_BLOB_STATED = 1
_NEXT_SECTION = 2


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file.

    place : layer and blob index, None for the mean image.
    section : which of the data sections it lies in, counted from 0.
    offset, size : bytes of its streams within the section.
    crc32 : of the decoded values.
    """

    name: str
    place: Place | None
    shape: Shape
    section: int
    offset: int
    size: int
    stored: Stored
    crc32: int


def write_tensor(form: Form, sink: Sink) -> None:
    """Describe a tensor in the directory of `sink`, and write its streams there.

    Its CRC-32 stands elsewhere: `write_directory` takes it.
    """
    sink.directory.varint(len(form.shape))
    for extent in form.shape:
        sink.directory.varint(extent)
    write_form(form, sink)


def write_directory(tensors: Sequence[tuple[Place, Form, Sink]], *, own_sections: bool) -> bytes:
    """Return the directory of written tensors: in one data section, or each in its own."""
    directory = ByteWriter()
    directory.varint(len(tensors))
    for _, form, _ in tensors:
        directory.word(crc32_of(form))
    previous = (0, -1)
    for index, (place, _, sink) in enumerate(tensors):
        delta = place[0] - previous[0]
        stated = place[1] != (previous[1] + 1 if delta == 0 else 0)
        begins = own_sections or index == 0
        directory.varint(delta << 2 | begins * _NEXT_SECTION | stated * _BLOB_STATED)
        if stated:
            directory.varint(place[1])
        directory.append(sink.directory)
        previous = place
    return directory.bytes()


def read_directory(data: bytes, keys: Sequence[str]) -> tuple[list[StoredTensor], int]:
    """Read the directory of a net whose layers have these keys.

    Returns the tensors, and the bytes of all arrays that their streams decode to.

    Raises
    ------
    BadManifest, UnknownFeature
    """
    reader = ByteReader(data)
    tensors: list[StoredTensor] = []
    layer, blob = 0, -1
    cursor = Cursor(reader)
    count = reader.varint()
    if reader.left < 4 * count:
        raise BadManifest("the tensor directory ends within its checksums")
    if count > MAX_TENSORS:
        raise LimitMemory(f"the file has {count} tensors, at most {MAX_TENSORS} are allowed")
    checksums = [reader.word() for _ in range(count)]
    for crc32 in checksums:
        head = reader.varint()
        if head >> 2:
            layer, blob = layer + (head >> 2), -1
        previous, blob = blob, reader.varint() if head & _BLOB_STATED else blob + 1
        if blob <= previous or layer > len(keys) or (layer == len(keys) and blob):
            raise BadManifest(f"a tensor is out of order: layer {layer}, blob {blob}")
        if head & _NEXT_SECTION:
            cursor.next_section()
        elif cursor.section < 0:
            raise BadManifest("the first tensor lies in no section")
        place = None if layer == len(keys) else (layer, blob)
        name = MEAN_IMAGE_NAME if place is None else f"{keys[layer]}/{blob}"
        start = cursor.offset
        shape = read_shape(cursor)
        if place is None and len(shape) != 3:
            raise BadManifest(f"a mean image of {len(shape)} dimensions")
        stored = read_form(cursor, shape)
        size = cursor.offset - start
        tensors.append(StoredTensor(name, place, shape, cursor.section, start, size, stored, crc32))
    if not reader.at_end:
        raise BadManifest("bytes follow the last tensor of the directory")
    return tensors, cursor.decoded_bytes
