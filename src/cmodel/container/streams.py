"""Streams of a data section: references to them, reading them, writing them.

A directory names the streams of a section in the order in which they lie there, so a reference is
found by adding up sizes (specification, sections 4 and 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.codecs import CODERS, bitpack, decode_ints, encode_ints
from cmodel.container.varints import ByteReader, ByteWriter
from cmodel.errors import BadManifest, LimitMemory, UnknownFeature

_PACKED, _HUFFMAN = 0, 1
_NUMBERS = {"packed": _PACKED, "huffman": _HUFFMAN}
_NAMES = {number: name for name, number in _NUMBERS.items()}


@dataclass(frozen=True)
class StreamRef:
    """A stream: its purpose, its coder, and its bytes within the section."""

    name: str
    coder: str
    offset: int
    size: int


@dataclass(frozen=True)
class Words:
    """`count` words of a float type, stored as they are."""

    stream: StreamRef
    count: int
    dtype: np.dtype[Any]

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams."""
        yield self.stream


@dataclass(frozen=True)
class Ints:
    """`count` unsigned integers of 8 or 16 bits."""

    stream: StreamRef
    count: int
    dtype: np.dtype[Any]
    width: int

    def streams(self) -> Iterator[StreamRef]:
        """Yield its streams."""
        yield self.stream


@dataclass
class Cursor:
    """Reads stream descriptions and keeps count of where the streams lie."""

    reader: ByteReader
    offset: int = 0

    def place(self, name: str, coder: str, size: int) -> StreamRef:
        """Return the reference to the next `size` bytes."""
        ref = StreamRef(name, coder, self.offset, size)
        self.offset += size
        return ref

    def words(self, name: str, count: int, dtype: np.dtype[Any]) -> Words:
        """Read the description of a stream of words."""
        return Words(self.place(name, "raw", count * dtype.itemsize), count, dtype)

    def ints(self, name: str, count: int, dtype: np.dtype[Any]) -> Ints:
        """Read the description of a stream of integers."""
        head = self.reader.varint()
        coder, width = _NAMES.get(head & 7), head >> 3
        if coder is None:
            raise UnknownFeature(f"the coder {head & 7} of the stream `{name}` is not known")
        if coder == "packed":
            if width > 8 * dtype.itemsize:
                raise BadManifest(f"{width} bits for an integer of the stream `{name}`")
            size = bitpack.size_of(count, width)
        elif width:
            raise UnknownFeature(f"the stream `{name}` has a variant that is not known")
        else:
            size = self.reader.varint()
        return Ints(self.place(name, coder, size), count, dtype, width)


@dataclass(frozen=True)
class Source:
    """The bytes of a tensor, and what may be spent on decoding them.

    start : offset of `data` within its section, which references count from.
    """

    data: memoryview
    max_memory: int
    threads: int = 1
    start: int = 0

    def check_elements(self, count: int, itemsize: int) -> None:
        """Refuse what would take more memory than allowed, before it is allocated."""
        if count * itemsize > self.max_memory:
            raise LimitMemory(
                f"decoding needs {count * itemsize} bytes, {self.max_memory} are allowed",
                hint="--max-memory raises the limit",
            )

    def bytes(self, ref: StreamRef) -> memoryview:
        """Return the bytes of a stream."""
        begin = ref.offset - self.start
        return self.data[begin : begin + ref.size]

    def words(self, words: Words) -> NDArray[Any]:
        """Return words: a view on the file where the machine allows it."""
        little = words.dtype.newbyteorder("<")
        return np.frombuffer(self.bytes(words.stream), little).astype(words.dtype, copy=False)

    def ints(self, ints: Ints) -> NDArray[Any]:
        """Decode integers."""
        self.check_elements(ints.count, ints.dtype.itemsize)
        ref = ints.stream
        data = self.bytes(ref)
        return decode_ints(ref.coder, ints.width, data, ints.count, ints.dtype, self.threads)


@dataclass
class Sink:
    """Where a tensor is written to: its description and its streams."""

    coders: Sequence[str] = CODERS
    directory: ByteWriter = field(default_factory=ByteWriter)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the streams so far."""
        return sum(len(chunk) for chunk in self.chunks)

    def words(self, values: NDArray[Any]) -> None:
        """Write an array as little-endian words."""
        self.chunks.append(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())

    def ints(self, values: NDArray[Any]) -> None:
        """Write unsigned integers with the coder that takes the fewest bytes."""
        encoded = encode_ints(np.ascontiguousarray(values).reshape(-1), coders=self.coders)
        self.directory.varint(_NUMBERS[encoded.coder] | encoded.width << 3)
        if encoded.coder != "packed":
            self.directory.varint(len(encoded.data))
        self.chunks.append(encoded.data)
