"""Net -> container file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Literal, cast

from cmodel.container import layout
from cmodel.container.deflation import deflate
from cmodel.container.directory import Place, write_directory, write_tensor
from cmodel.container.form_writer import write_form
from cmodel.container.levels import DEFAULT_LEVEL, LEVELS, budget, choose, coders_for, nanoseconds
from cmodel.container.manifest import build_manifest, minor_version
from cmodel.container.streams import Sink, Tables
from cmodel.errors import NetError
from cmodel.net import Net
from cmodel.tensors import Dense, Form, size_of
from cmodel.threads import thread_count

# Below this many payload bytes, padding and a section per tensor would weigh more than they serve.
SMALL_PAYLOAD = 1 << 20
ALIGNMENT_LOG2 = 6

# What is written of a net's notes: all; what tells how the file came about in a few bytes; nothing.
# "auto" is "brief" for small payloads and "full" for others.
NoteDetail = Literal["auto", "full", "brief", "none"]


@dataclass(frozen=True)
class _Part:
    type: int
    flags: int
    chunks: Sequence[bytes]
    decoded_size: int

    @property
    def size(self) -> int:
        return sum(len(chunk) for chunk in self.chunks)


def write_to(
    file: BinaryIO, net: Net, *, level: int = DEFAULT_LEVEL, notes: NoteDetail = "auto"
) -> int:
    """Write `net` as a container to an open file and return the number of bytes.

    The same net gives the same bytes on every machine that has the same zlib (it deflates the
    manifest). `level`, 1 to 9, bounds the time that decoding takes (`cmodel.container.levels`),
    `notes` says how many of the net's notes go in.

    Raises
    ------
    NetError : a parameter belongs to no layer, or the net is beyond the limits of the format.
    ValueError : there is no such level.
    """
    tensors = []
    tables = Tables()
    placed = _tensors(net)
    slow = _slow_tensors([form for _, form in placed], level)
    for index, (place, form) in enumerate(placed):
        sink = Sink(*coders_for(level if index in slow else LEVELS[0], 0), tables)
        write_tensor(form, sink)
        tensors.append((place, form, sink))
    small = sum(sink.size for _, _, sink in tensors) < SMALL_PAYLOAD
    if small:
        chunks = [chunk for _, _, sink in tensors for chunk in sink.chunks]
        data = [_data_part(chunks)] if tensors else []
    else:
        data = [_data_part(sink.chunks) for _, _, sink in tensors]
    manifest = build_manifest(net)
    if tensors:
        manifest.directory = write_directory(tensors, own_sections=not small)
    parts = [
        _deflated_part(layout.MANIFEST, 0, manifest.SerializeToString(deterministic=True)),
        *data,
    ]
    if net.labels:
        if any("\n" in label for label in net.labels):
            raise NetError("a class name holds a line end")
        text = "".join(f"{label}\n" for label in net.labels)
        parts.append(_deflated_part(layout.LABELS, layout.ANCILLARY, text.encode()))
    told = _told(net.notes, notes, small)
    if told:
        text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        parts.append(_deflated_part(layout.NOTES, layout.ANCILLARY, text.encode()))
    minor = minor_version(manifest)
    return _write_parts(file, parts, 0 if small else ALIGNMENT_LOG2, minor)


def _told(notes: dict[str, Any], detail: NoteDetail, small: bool) -> dict[str, Any]:
    """Return the notes to write: of brief ones plain values, and the names of tables."""
    if detail == "none":
        return {}
    if detail == "full" or (detail == "auto" and not small):
        return notes
    brief: dict[str, Any] = {}
    for key, value in notes.items():
        if not isinstance(value, dict | list):
            brief[key] = value
        elif isinstance(value, dict) and "name" in value:
            brief[key] = {"name": value["name"]}
    return brief


def _slow_tensors(forms: Sequence[Form], level: int) -> set[int]:
    """Plan which tensors get slow coders; their streams are only measured, one for each thread."""
    if budget(level) in (0, float("inf")):
        return set(range(len(forms)))
    with ThreadPoolExecutor(thread_count()) as pool:
        return choose(list(pool.map(partial(_candidate, level=level), forms)), level)


def _candidate(form: Form, level: int) -> tuple[int, int]:
    """Return the bytes that slow coders save on a form, and the nanoseconds that they take."""
    fast, slow = coders_for(LEVELS[0], 0), coders_for(level, size_of(form.shape))
    if isinstance(form, Dense) or slow == fast:
        return 0, 0
    sizes = []
    for coders in (fast, slow):
        sink = Sink(*coders)
        write_form(form, sink)
        sizes.append(sink.size)
    return sizes[0] - sizes[1], nanoseconds(size_of(form.shape), sizes[1])


def size_of_form(form: Form, *, level: int = DEFAULT_LEVEL) -> int:
    """Return the bytes that a form takes in a container: its streams and its description.

    Its coders are those of a net that has nothing else.
    """
    sink = Sink(*coders_for(level, size_of(form.shape)))
    write_form(form, sink)
    return sink.size + len(sink.directory.bytes())


def _tensors(net: Net) -> list[tuple[Place, Form]]:
    """Return place and form of every tensor in the order of the file."""
    found: list[tuple[Place, Form]] = []
    done: set[str] = set()
    for index, layer in enumerate(net.layers):
        for blob, name in enumerate(layer.parameters):
            if name not in done:
                done.add(name)
                found.append(((index, blob), cast(Form, net.parameters[name])))
    for name in net.parameters:
        if name not in done:
            raise NetError(f"the parameter `{name}` belongs to no layer")
    if net.transform is not None and net.transform.mean_image is not None:
        form = net.transform.mean_form or Dense(net.transform.mean_image)
        found.append(((len(net.layers), 0), cast(Form, form)))
    return found


def _data_part(chunks: Sequence[bytes]) -> _Part:
    return _Part(layout.DATA, 0, chunks, sum(len(chunk) for chunk in chunks))


def _deflated_part(kind: int, flags: int, data: bytes) -> _Part:
    stored, how = deflate(data)
    return _Part(kind, flags | how, [stored], len(data))


def _write_parts(file: BinaryIO, parts: Sequence[_Part], alignment_log2: int, minor: int) -> int:
    alignment = 1 << alignment_log2
    texts = [part.decoded_size for part in parts if part.type != layout.DATA]
    if len(parts) > layout.MAX_SECTIONS or max(texts) > layout.MAX_TEXT:
        raise NetError(
            f"a container has at most {layout.MAX_SECTIONS} sections, and {layout.MAX_TEXT} bytes "
            f"of manifest, notes or labels; here are {len(parts)} and {max(texts)}"
        )
    sections = []
    for part in parts:
        crc = 0
        for chunk in part.chunks:
            crc = zlib.crc32(chunk, crc)
        sections.append(layout.Section(part.type, part.flags, crc, 0, part.size, part.decoded_size))
    head = layout.pack_head(sections, alignment_log2, minor)
    file.write(head)
    position = len(head)
    for part in parts:
        start = layout.align(position, alignment)
        file.write(bytes(start - position))
        for chunk in part.chunks:
            file.write(chunk)
        position = start + part.size
    return position
