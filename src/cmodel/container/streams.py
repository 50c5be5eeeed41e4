"""Streams of a data section: references to them, reading them, writing them.

A directory names the streams of a section in the order in which they lie there, so a reference is
found by adding up sizes (specification, sections 4 and 6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.codecs import (
    CODERS,
    bitpack,
    context,
    decode_ints,
    decode_words,
    encode_ints,
    encode_words,
    huffman,
    rans,
)
from cmodel.codecs.context import Matrix
from cmodel.container.varints import ByteReader, ByteWriter
from cmodel.errors import BadManifest, LimitMemory, UnknownFeature

_NUMBERS = {"packed": 0, "huffman": 1, "rans": 2, "split": 3, "context": 4}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_WORD_TYPES: dict[int, np.dtype[Any]] = {2: np.dtype(np.uint16), 4: np.dtype(np.uint32)}

# Coders whose streams begin with a table that later streams may use as well.
_TABLED = {"huffman": huffman, "rans": rans}
# How many tables back a writer looks, and up to how many integers it is worth a look.
_TABLES_BACK = 15
_SHARED_UP_TO = 1 << 16


@dataclass(frozen=True)
class StreamRef:
    """A stream: its purpose, its coder, and its bytes within the data section `section`.

    shared : whether it uses the table of another stream.
    """

    name: str
    coder: str
    section: int
    offset: int
    size: int
    shared: bool = False


@dataclass(frozen=True)
class Words:
    """`count` words of a float type (or bytes)."""

    ref: StreamRef
    count: int
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Ints:
    """`count` unsigned integers of 8 or 16 bits. `table`: the stream whose table this one uses."""

    ref: StreamRef
    count: int
    dtype: np.dtype[Any]
    width: int = 0
    table: StreamRef | None = None


@dataclass
class Cursor:
    """Reads stream descriptions and keeps count of where the streams lie.

    decoded_bytes : of all arrays that the streams so far decode to.
    """

    reader: ByteReader
    section: int = -1
    offset: int = 0
    decoded_bytes: int = 0
    tables: dict[str, list[StreamRef]] = field(
        default_factory=lambda: {name: [] for name in _TABLED}
    )

    def next_section(self) -> None:
        """Go on with the first byte of the next data section."""
        self.section, self.offset = self.section + 1, 0

    def _place(self, name: str, coder: str, size: int, *, shared: bool = False) -> StreamRef:
        ref = StreamRef(name, coder, self.section, self.offset, size, shared)
        self.offset += size
        return ref

    def opaque(self, name: str, coder: str) -> StreamRef:
        """Read the size of a stream whose layout is its own affair."""
        return self._place(name, coder, self.reader.varint())

    def words(self, name: str, count: int, dtype: np.dtype[Any], *, planes: bool = False) -> Words:
        """Read the description of a stream of words."""
        self.decoded_bytes += count * dtype.itemsize
        size = self.reader.varint() if planes else count * dtype.itemsize
        return Words(self._place(name, "planes" if planes else "raw", size), count, dtype)

    def ints(self, name: str, count: int, dtype: np.dtype[Any]) -> Ints:
        """Read the description of a stream of integers."""
        self.decoded_bytes += count * dtype.itemsize
        head = self.reader.varint()
        coder, variant = _NAMES.get(head & 7), head >> 3
        if coder is None or (coder == "split" and dtype.itemsize == 1):
            raise UnknownFeature(f"the coder {head & 7} of the stream `{name}` is not known")
        if coder == "packed":
            if variant > 8 * dtype.itemsize:
                raise BadManifest(f"{variant} bits for an integer of the stream `{name}`")
            size = bitpack.size_of(count, variant)
            return Ints(self._place(name, coder, size), count, dtype, variant)
        table = None
        if variant:
            known = self.tables.get(coder)
            if known is None:
                raise UnknownFeature(f"the stream `{name}` has a variant that is not known")
            if variant > len(known):
                raise BadManifest(f"the stream `{name}` uses a table that is not there")
            table = known[-variant]
        ref = self._place(name, coder, self.reader.varint(), shared=table is not None)
        if coder in self.tables and table is None:
            self.tables[coder].append(ref)
        return Ints(ref, count, dtype, 0, table)


@dataclass(frozen=True)
class Source:
    """Bytes of the data sections, and what may be spent on decoding them.

    section_bytes : gives the bytes of a data section by its number, after checking them.
    """

    section_bytes: Callable[[int], memoryview]
    max_memory: int
    threads: int = 1

    def check_elements(self, count: int, itemsize: int) -> None:
        """Refuse what would take more memory than allowed, before it is allocated."""
        if count * itemsize > self.max_memory:
            raise LimitMemory(
                f"decoding needs {count * itemsize} bytes, {self.max_memory} are allowed",
                hint="--max-memory raises the limit",
            )

    def bytes(self, ref: StreamRef) -> memoryview:
        """Return the bytes of a stream."""
        return self.section_bytes(ref.section)[ref.offset : ref.offset + ref.size]

    def table_size(self, ref: StreamRef) -> int:
        """Return the bytes of the code table that a stream begins with; 0 where it has none."""
        if ref.coder not in _TABLED or ref.shared:
            return 0
        return int(_TABLED[ref.coder].table_size(self.bytes(ref)))

    def words(self, words: Words) -> NDArray[Any]:
        """Return words: a view on the file where they are raw and the machine allows it."""
        data = self.bytes(words.ref)
        if words.ref.coder == "raw":
            little = words.dtype.newbyteorder("<")
            return np.frombuffer(data, little).astype(words.dtype, copy=False)
        self.check_elements(words.count, words.dtype.itemsize)
        kind = _WORD_TYPES[words.dtype.itemsize]
        return decode_words(words.ref.coder, data, words.count, kind).view(words.dtype)

    def ints(self, ints: Ints) -> NDArray[Any]:
        """Decode integers."""
        self.check_elements(ints.count, ints.dtype.itemsize)
        coder, data = ints.ref.coder, self.bytes(ints.ref)
        if coder == "context":
            columns = context.columns_of(data, ints.count, ints.dtype)
            self.check_elements(columns, context.COLUMN_BYTES)
        if ints.table is None:
            return decode_ints(coder, ints.width, data, ints.count, ints.dtype, self.threads)
        codec = _TABLED[coder]
        owner = self.bytes(ints.table)
        table = owner[: codec.table_size(owner)]
        decoded: NDArray[Any] = codec.decode(
            data, ints.count, ints.dtype, self.threads, table=table
        )
        return decoded


class Tables:
    """The tables of the streams written so far, by coder, in the order of the file."""

    def __init__(self) -> None:
        self._tables: dict[str, list[bytes]] = {name: [] for name in _TABLED}

    def add(self, coder: str, stream: bytes) -> None:
        """Remember the table of a stream that brought one."""
        if coder in self._tables:
            self._tables[coder].append(stream[: _TABLED[coder].table_size(stream)])

    def best(self, values: NDArray[Any], coder: str, limit: int) -> tuple[int, bytes] | None:
        """Return how far back the table lies that codes `values` in fewer than `limit` bytes."""
        best: tuple[int, bytes] | None = None
        for back, table in enumerate(reversed(self._tables[coder][-_TABLES_BACK:]), 1):
            try:
                data = _TABLED[coder].encode(values, table=table)
            except ValueError:
                # The table has no code for one of the values.
                continue
            if len(data) < limit:
                best, limit = (back, data), len(data)
        return best


def planes_of(values: NDArray[Any]) -> bytes | None:
    """Return the stream of byte planes of float words where it is smaller than the words."""
    words = np.ascontiguousarray(values).reshape(-1).view(_WORD_TYPES[values.itemsize])
    encoded = encode_words(words)
    return encoded.data if encoded.coder == "planes" else None


@dataclass
class Sink:
    """Where a tensor is written to: its description and its streams.

    coders, position_coders : those of `cmodel.container.levels.coders_for`.
    tables : of the streams before, which streams of this tensor may use.
    """

    coders: Sequence[str] = CODERS
    position_coders: Sequence[str] = ("mask",)
    tables: Tables = field(default_factory=Tables)
    directory: ByteWriter = field(default_factory=ByteWriter)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the streams so far."""
        return sum(len(chunk) for chunk in self.chunks)

    def beside(self) -> Sink:
        """Return a sink for something that may or may not be taken over by `take`."""
        return Sink(self.coders, self.position_coders, self.tables)

    def take(self, other: Sink) -> None:
        """Append what another sink holds."""
        self.directory.append(other.directory)
        self.chunks += other.chunks

    def opaque(self, data: bytes) -> None:
        """Write a stream whose layout is its own affair; its size is stated."""
        self.directory.varint(len(data))
        self.chunks.append(data)

    def raw(self, data: bytes) -> None:
        """Write a stream whose size a reader knows."""
        self.chunks.append(data)

    def ints(self, values: NDArray[Any], matrix: Matrix | None = None) -> None:
        """Write unsigned integers with the coder, and table, that take the fewest bytes.

        matrix : what they are the rows of, where they are.
        """
        flat = np.ascontiguousarray(values).reshape(-1)
        encoded = encode_ints(flat, coders=self.coders, matrix=matrix)
        coder, variant, data = encoded.coder, encoded.width, encoded.data
        if 0 < flat.size <= _SHARED_UP_TO:
            for name in _TABLED:
                if name in self.coders and (shared := self.tables.best(flat, name, len(data))):
                    coder, (variant, data) = name, shared
        if coder in _TABLED and not variant:
            self.tables.add(coder, data)
        self.directory.varint(_NUMBERS[coder] | variant << 3)
        if coder != "packed":
            self.directory.varint(len(data))
        self.chunks.append(data)
