"""Net -> container file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from cmodel.codecs import CODERS
from cmodel.container import layout
from cmodel.container.forms import StreamLayout, StreamWriter, encode_form
from cmodel.container.manifest import build_manifest
from cmodel.errors import NetError
from cmodel.net import Net, Shape
from cmodel.proto import manifest_pb2
from cmodel.tensors import Dense, Form, crc32_of

# Below this many payload bytes, padding and a section per tensor would weigh more than they serve.
SMALL_PAYLOAD = 1 << 20
ALIGNMENT_LOG2 = 6
MEAN_IMAGE_NAME = ":mean"

# (layer index, blob index)
Place = tuple[int, int]


@dataclass(frozen=True)
class TensorLayout:
    """What a tensor takes in the file."""

    name: str
    shape: Shape
    streams: tuple[StreamLayout, ...]

    @property
    def size(self) -> int:
        """Bytes of its streams."""
        return sum(stream.size for stream in self.streams)


@dataclass(frozen=True)
class FileLayout:
    """What was written: bytes in all, of the manifest, and of each tensor."""

    size: int
    manifest_size: int
    tensors: tuple[TensorLayout, ...]


@dataclass(frozen=True)
class _Part:
    type: int
    flags: int
    chunks: Sequence[bytes]
    decoded_size: int

    @property
    def size(self) -> int:
        return sum(len(chunk) for chunk in self.chunks)


def write_to(file: BinaryIO, net: Net, *, coders: Sequence[str] = CODERS) -> FileLayout:
    """Write `net` as a container to an open file and return its layout.

    The same net gives the same bytes on every machine. `coders` bounds the choice of coders.

    Raises
    ------
    NetError : a parameter belongs to no layer.
    """
    manifest = build_manifest(net)
    writers: list[StreamWriter] = []
    layouts: list[TensorLayout] = []
    previous = (-1, -1)
    for name, place, form in _tensors(net):
        tensor = manifest.tensor.add()
        previous = _place(tensor, place, previous)
        tensor.dim.extend(form.shape)
        tensor.crc32 = crc32_of(form)
        writer = StreamWriter(coders)
        tensor.form.CopyFrom(encode_form(form, writer))
        writers.append(writer)
        layouts.append(TensorLayout(name, form.shape, tuple(writer.layout)))
    small = sum(writer.size for writer in writers) < SMALL_PAYLOAD
    if small:
        data = [_data_part([chunk for writer in writers for chunk in writer.chunks])]
        if writers:
            manifest.tensor[0].section = 1
        else:
            data = []
    else:
        data = [_data_part(writer.chunks) for writer in writers]
        for index, tensor in enumerate(manifest.tensor):
            tensor.section = 1 + index
    head = _deflated_part(layout.MANIFEST, 0, manifest.SerializeToString(deterministic=True))
    parts = [head, *data]
    if net.labels:
        text = "".join(f"{label}\n" for label in net.labels)
        parts.append(_deflated_part(layout.LABELS, layout.ANCILLARY, text.encode()))
    if net.notes:
        notes = json.dumps(net.notes, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        parts.append(_deflated_part(layout.NOTES, layout.ANCILLARY, notes.encode()))
    size = _write_parts(file, parts, 0 if small else ALIGNMENT_LOG2)
    return FileLayout(size, head.size, tuple(layouts))


def _tensors(net: Net) -> list[tuple[str, Place | None, Form]]:
    """Return name, place and form of every tensor in the order of the file."""
    found: list[tuple[str, Place | None, Form]] = []
    done: set[str] = set()
    for index, layer in enumerate(net.layers):
        for blob, name in enumerate(layer.parameters):
            if name not in done:
                done.add(name)
                found.append((name, (index, blob), cast(Form, net.parameters[name])))
    for name in net.parameters:
        if name not in done:
            raise NetError(f"the parameter `{name}` belongs to no layer")
    if net.transform is not None and net.transform.mean_image is not None:
        found.append((MEAN_IMAGE_NAME, None, Dense(net.transform.mean_image)))
    return found


def _place(tensor: manifest_pb2.Tensor, place: Place | None, previous: Place) -> Place:
    """State where a tensor belongs; return the place that the next one follows."""
    if place is None:
        tensor.role = manifest_pb2.Tensor.MEAN_IMAGE
        return previous
    layer, blob = place
    tensor.layer = layer
    # The blob number is left out where it is the one that a reader expects.
    if blob != (previous[1] + 1 if previous[0] == layer else 0):
        tensor.blob = blob
    return place


def _data_part(chunks: Sequence[bytes]) -> _Part:
    return _Part(layout.DATA, 0, chunks, sum(len(chunk) for chunk in chunks))


def _deflated_part(kind: int, flags: int, data: bytes) -> _Part:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    deflated = compressor.compress(data) + compressor.flush()
    if len(deflated) < len(data):
        return _Part(kind, flags | layout.DEFLATED, [deflated], len(data))
    return _Part(kind, flags, [data], len(data))


def _write_parts(file: BinaryIO, parts: Sequence[_Part], alignment_log2: int) -> int:
    alignment = 1 << alignment_log2
    sections = []
    position = layout.HEADER_SIZE + layout.ENTRY_SIZE * len(parts)
    for part in parts:
        position = layout.align(position, alignment)
        crc = 0
        for chunk in part.chunks:
            crc = zlib.crc32(chunk, crc)
        sections.append(
            layout.Section(part.type, part.flags, crc, position, part.size, part.decoded_size)
        )
        position += part.size
    file.write(layout.pack_head(sections, alignment_log2, position))
    written = layout.HEADER_SIZE + layout.ENTRY_SIZE * len(parts)
    for part, section in zip(parts, sections, strict=True):
        file.write(bytes(section.offset - written))
        for chunk in part.chunks:
            file.write(chunk)
        written = section.offset + section.stored_size
    return written
