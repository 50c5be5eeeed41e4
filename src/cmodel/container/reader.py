"""Container file -> Net. The file is mapped; tensors are decoded when they are asked for."""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cmodel.container import layout
from cmodel.container.deflation import inflate
from cmodel.container.directory import MEAN_IMAGE_NAME, StoredTensor, read_directory
from cmodel.container.manifest import (
    keys_of,
    layer_parameters,
    parse_manifest,
    read_net,
    read_transform,
)
from cmodel.container.streams import Source
from cmodel.errors import (
    BadManifest,
    ChecksumMismatch,
    CmodelError,
    InputError,
    LimitMemory,
    NetError,
)
from cmodel.net import Net, ParameterLoader, Parameters, infer_shapes
from cmodel.tensors import Form, crc32_of, size_of
from cmodel.threads import thread_count

MAX_MEMORY = 4 << 30
T = TypeVar("T")


class Container:
    """An open container. Opening reads header, section table and manifest, no more.

    path : the file.
    max_memory : most bytes that everything in the file may decode to: the float32 values of all
        tensors and all arrays on the way to them (indices, codebooks), each once.
    threads : threads for decoding; default all that the process may use.
    salvage : decode tensors of data sections whose CRC-32 is wrong, too (`check_tensor` tells those
        that are right all the same), and give a net without a mean image, labels or notes that are
        damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_memory: int = MAX_MEMORY,
        threads: int | None = None,
        salvage: bool = False,
    ) -> None:
        self.path = Path(path)
        self.salvage = salvage
        self.max_memory = max_memory
        self.threads = threads or thread_count()
        self._checked: set[int] = set()
        with self._errors():
            self._data = _map(self.path)
            head = layout.parse_head(self._data)
            self.version, self.alignment_log2 = head.version, head.alignment_log2
            self.sections = head.sections
            self.manifest = parse_manifest(self.section_bytes(0))
            self.data_sections = [
                i for i, section in enumerate(self.sections) if section.type == layout.DATA
            ]
            self.keys = keys_of(self.manifest.network)
            self.tensors = self._find_tensors()
            # Raises where the blobs of a layer have gaps.
            layer_parameters(self.manifest.network, [tensor.place for tensor in self.tensors])
        self._by_name = {tensor.name: tensor for tensor in self.tensors}

    @contextmanager
    def _errors(self, part: str = "") -> Iterator[None]:
        """Say in every error of this file where it happened."""
        try:
            yield
        except CmodelError as error:
            place = f"{self.path}{part}"
            error.where = place if error.where is None else f"{place}, {error.where}"
            raise

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._data)

    def _stored(self, index: int) -> memoryview:
        section = self.sections[index]
        return self._data[section.offset : section.offset + section.stored_size]

    def check_section(self, index: int) -> None:
        """Check the CRC-32 of a section, once.

        Raises
        ------
        ChecksumMismatch
        """
        if index in self._checked:
            return
        section = self.sections[index]
        if zlib.crc32(self._stored(index)) != section.crc32:
            raise ChecksumMismatch(
                "the CRC-32 does not match: the bytes are damaged",
                where=f"section {index} ({section.name})",
            )
        self._checked.add(index)

    def _data_section(self, number: int) -> memoryview:
        """Return the bytes of a data section by its number among them, checked but to salvage."""
        index = self.data_sections[number]
        if not self.salvage:
            self.check_section(index)
        return self._stored(index)

    def section_bytes(self, index: int) -> bytes:
        """Return the decoded bytes of a section that is not data."""
        self.check_section(index)
        section = self.sections[index]
        where = f"section {index} ({section.name})"
        if section.decoded_size > layout.MAX_TEXT:
            raise LimitMemory(
                f"{section.decoded_size} bytes, {layout.MAX_TEXT} are allowed", where=where
            )
        return inflate(section, self._stored(index), where)

    def _find_tensors(self) -> list[StoredTensor]:
        data = self.data_sections
        if not self.manifest.directory:
            if data:
                raise BadManifest("there are data sections and no tensors")
            return []
        tensors, decoded = read_directory(self.manifest.directory, self.keys)
        ends = dict.fromkeys(data, 0)
        for index, tensor in enumerate(tensors):
            if tensor.section >= len(data):
                raise BadManifest(f"the tensor `{tensor.name}` lies in no data section")
            tensors[index] = replace(tensor, section=data[tensor.section])
            ends[data[tensor.section]] += tensor.size
        for section, end in ends.items():
            size = self.sections[section].stored_size
            if end != size:
                raise BadManifest(f"section {section} has {size} bytes, its tensors take {end}")
        total = decoded + sum(4 * size_of(tensor.shape) for tensor in tensors)
        if total > self.max_memory:
            raise LimitMemory(
                f"the file decodes to {total} bytes, {self.max_memory} are allowed",
                hint="--max-memory raises the limit",
            )
        return tensors

    def table_sizes(self, tensor: StoredTensor) -> list[int]:
        """Return the bytes of the code table in each stream of a tensor, 0 where it has none."""
        source = Source(self._data_section, self.max_memory, self.threads)
        with self._errors():
            return [source.table_size(ref) for ref in tensor.stored.streams()]

    def table_bytes(self) -> int:
        """Return the bytes of all code tables within the streams."""
        return sum(sum(self.table_sizes(tensor)) for tensor in self.tensors)

    def form(self, name: str) -> Form:
        """Decode a tensor by its name.

        Raises
        ------
        KeyError : there is none of this name.
        ChecksumMismatch, BadStream, BadManifest, UnknownFeature, LimitMemory
        """
        tensor = self._by_name[name]
        with self._errors(f", tensor `{name}`"):
            source = Source(self._data_section, self.max_memory, self.threads)
            source.check_elements(size_of(tensor.shape), 4)
            try:
                form = tensor.stored.decode(source)
            except ValueError as error:
                # The forms check their own rules; here a broken one is a broken file.
                raise BadManifest(f"the form is not valid: {error}") from error
        return form

    def check_tensor(self, name: str) -> None:
        """Decode a tensor and compare its CRC-32 with the manifest's.

        Raises
        ------
        ChecksumMismatch, and what `form` raises
        """
        form = self.form(name)
        expected = self._by_name[name].crc32
        if crc32_of(form) != expected:
            raise ChecksumMismatch(
                f"it decodes to CRC-32 {crc32_of(form):08x}, the manifest says {expected:08x}",
                where=f"{self.path}, tensor `{name}`",
            )

    def labels(self) -> tuple[str, ...]:
        """Return the class names, or nothing."""
        text = self._text(layout.LABELS)
        if text and not text.endswith("\n"):
            raise BadManifest("the last label has no line end", where=str(self.path))
        return tuple(text.split("\n")[:-1])

    def notes(self) -> dict[str, Any]:
        """Return the notes: recipe and provenance as JSON data."""
        text = self._text(layout.NOTES)
        if not text:
            return {}
        try:
            notes = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadManifest("the notes are not valid JSON", where=str(self.path)) from error
        if not isinstance(notes, dict):
            raise BadManifest("the notes are not a JSON object", where=str(self.path))
        return notes

    def _text(self, kind: int) -> str:
        for index, section in enumerate(self.sections):
            if section.type == kind:
                with self._errors():
                    try:
                        return self.section_bytes(index).decode()
                    except UnicodeDecodeError as error:
                        raise BadManifest(f"the section `{section.name}` is not UTF-8") from error
        return ""

    def net(self) -> Net:
        """Return the network; its parameters are decoded at each access."""
        parameters = Parameters(
            (tensor.name, ParameterLoader(tensor.shape, partial(self.form, tensor.name)))
            for tensor in self.tensors
            if tensor.name != MEAN_IMAGE_NAME
        )
        mean = self._unless_damaged(self._mean_image, None)
        with self._errors():
            net = read_net(self.manifest, [tensor.place for tensor in self.tensors], parameters)
            net.transform = read_transform(self.manifest, mean)
            _check_shapes(net)
        net.labels = self._unless_damaged(self.labels, ())
        net.notes = self._unless_damaged(self.notes, {})
        return net

    def _mean_image(self) -> Form | None:
        if MEAN_IMAGE_NAME not in self._by_name:
            return None
        if self.salvage:
            self.check_tensor(MEAN_IMAGE_NAME)
        return self.form(MEAN_IMAGE_NAME)

    def _unless_damaged(self, part: Callable[[], T], default: T) -> T:
        """Return a part of the file; to salvage, `default` where it is damaged."""
        try:
            return part()
        except InputError:
            if not self.salvage:
                raise
            return default


def _check_shapes(net: Net) -> None:
    """Check that the tensors have the shapes that the network's layers need."""
    try:
        needed = infer_shapes(net).parameters
    except NetError:
        # A network that does not fit together can be unpacked all the same; a run says why not.
        return
    for layer in net.layers:
        shapes = [net.parameters.shape(name) for name in layer.parameters]
        expected = needed.get(layer.key)
        if shapes and expected is not None and shapes != expected:
            raise BadManifest(
                f"the layer `{layer.key}` has parameters of shapes {shapes}, it needs {expected}"
            )


def read(
    path: str | os.PathLike[str], *, max_memory: int = MAX_MEMORY, threads: int | None = None
) -> Net:
    """Read a container; see `Container` for the parameters and errors."""
    return Container(path, max_memory=max_memory, threads=threads).net()


def _map(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}") from error
