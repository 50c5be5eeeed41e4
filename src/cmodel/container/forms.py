"""Tensor forms <-> manifest messages and stream bytes (specification, sections 4 to 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cmodel.codecs import CODERS, decode_ints, encode_ints, relindex
from cmodel.errors import BadManifest, BadStream, LimitMemory, UnknownFeature
from cmodel.net import Shape
from cmodel.proto import manifest_pb2
from cmodel.tensors import Codebook, Dense, Form, Linear, Sparse, size_of

MAX_DIMENSIONS = 32
MAX_ELEMENTS = 1 << 40
MAX_ZERO = 1 << 23

_CODER_OF = {
    "packed": manifest_pb2.Stream.PACKED,
    "huffman": manifest_pb2.Stream.HUFFMAN,
}
_CODER_NAMES = {number: name for name, number in _CODER_OF.items()}
_INT_TYPES: dict[manifest_pb2.Linear.Type, np.dtype[Any]] = {
    manifest_pb2.Linear.I8: np.dtype(np.int8),
    manifest_pb2.Linear.U8: np.dtype(np.uint8),
    manifest_pb2.Linear.I16: np.dtype(np.int16),
    manifest_pb2.Linear.U16: np.dtype(np.uint16),
}


@dataclass(frozen=True)
class StreamLayout:
    """Where the bytes of a tensor went: one line for each stream."""

    name: str
    coder: str
    size: int


class StreamWriter:
    """Collects the coded streams of one tensor, in order."""

    def __init__(self, coders: Sequence[str] = CODERS) -> None:
        self.coders = coders
        self.chunks: list[bytes] = []
        self.layout: list[StreamLayout] = []

    @property
    def size(self) -> int:
        """Bytes so far."""
        return sum(len(chunk) for chunk in self.chunks)

    def _append(self, name: str, coder: str, data: bytes) -> manifest_pb2.Stream:
        self.chunks.append(data)
        self.layout.append(StreamLayout(name, coder, len(data)))
        return manifest_pb2.Stream(size=len(data))

    def words(self, name: str, values: NDArray[Any]) -> manifest_pb2.Stream:
        """Write an array as little-endian words."""
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        return self._append(name, "raw", little.tobytes())

    def ints(self, name: str, values: NDArray[Any]) -> manifest_pb2.Stream:
        """Write unsigned integers with the coder that takes the fewest bytes."""
        encoded = encode_ints(np.ascontiguousarray(values).reshape(-1), coders=self.coders)
        message = self._append(name, encoded.coder, encoded.data)
        message.coder = _CODER_OF[encoded.coder]
        if encoded.width:
            message.width = encoded.width
        return message


def encode_form(form: Form, writer: StreamWriter, prefix: str = "") -> manifest_pb2.Form:
    """Write the streams of `form` and return its message."""
    message = manifest_pb2.Form()
    match form:
        case Dense():
            dense = message.dense
            dense.SetInParent()
            if form.values.dtype == np.float16:
                dense.type = manifest_pb2.Dense.F16
            dense.values.CopyFrom(writer.words(f"{prefix}values", form.values))
        case Codebook():
            codebook = message.codebook
            centroids = form.centroids.to_dense()[0]
            codebook.entries = form.entries
            codebook.centroids.CopyFrom(writer.words(f"{prefix}centroids", centroids))
            dtype = _index_type(form.entries)
            indices = form.indices.astype(dtype, copy=False)
            codebook.indices.CopyFrom(writer.ints(f"{prefix}indices", indices))
        case Linear():
            _encode_linear(form, message.linear, writer, prefix)
        case Sparse():
            sparse = message.sparse
            size = size_of(form.shape)
            bits = relindex.best_width(form.positions, size)
            symbols = relindex.encode(form.positions, size, bits)
            sparse.count = form.positions.size
            sparse.gap_bits = bits
            sparse.gap_count = symbols.size
            sparse.gaps.CopyFrom(writer.ints(f"{prefix}gaps", symbols))
            sparse.values.CopyFrom(encode_form(form.values, writer, f"{prefix}values."))
    return message


def _index_type(entries: int) -> np.dtype[Any]:
    return np.dtype(np.uint8 if entries <= 256 else np.uint16)


def _encode_linear(
    form: Linear, message: manifest_pb2.Linear, writer: StreamWriter, prefix: str
) -> None:
    message.type = next(kind for kind, dtype in _INT_TYPES.items() if dtype == form.ints.dtype)
    message.scale_count = form.groups
    message.scales.CopyFrom(writer.words(f"{prefix}scales", form.scales.to_dense()))
    if form.zeros.any():
        message.zeros.CopyFrom(writer.words(f"{prefix}zeros", form.zeros))
    lowest = int(form.ints.min()) if form.ints.size else 0
    if lowest:
        message.lowest = lowest
    unsigned = np.uint8 if form.ints.dtype.itemsize == 1 else np.uint16
    shifted = (form.ints.astype(np.int32) - lowest).astype(unsigned)
    message.ints.CopyFrom(writer.ints(f"{prefix}ints", shifted))


class StreamReader:
    """Hands out the streams of one tensor in order; every size is checked against what is left."""

    def __init__(self, data: memoryview, max_memory: int, threads: int = 1) -> None:
        self._data = data
        self._position = 0
        self._max_memory = max_memory
        self._threads = threads

    def finish(self) -> None:
        """Check that every byte was used."""
        if self._position != len(self._data):
            raise BadManifest(
                f"{len(self._data) - self._position} bytes of the tensor belong to no stream"
            )

    def check_elements(self, count: int, itemsize: int) -> None:
        """Refuse what would take more memory than allowed, before it is allocated."""
        if count * itemsize > self._max_memory:
            raise LimitMemory(
                f"decoding needs {count * itemsize} bytes, {self._max_memory} are allowed",
                hint="--max-memory raises the limit",
            )

    def _take(self, stream: manifest_pb2.Stream) -> memoryview:
        end = self._position + stream.size
        if end > len(self._data):
            raise BadManifest("a stream reaches beyond its tensor's bytes")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def words(self, stream: manifest_pb2.Stream, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Read `count` little-endian words: a view on the file where the machine allows it."""
        if stream.coder != manifest_pb2.Stream.RAW:
            raise UnknownFeature("words are coded RAW in this version")
        little = np.dtype(dtype).newbyteorder("<")
        if stream.size != count * little.itemsize:
            raise BadManifest(f"{stream.size} bytes for {count} words of {little.itemsize} bytes")
        return np.frombuffer(self._take(stream), little).astype(dtype, copy=False)

    def ints(self, stream: manifest_pb2.Stream, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Decode `count` unsigned integers."""
        kind = np.dtype(dtype)
        self.check_elements(count, kind.itemsize)
        if stream.coder not in _CODER_NAMES:
            raise UnknownFeature(f"coder {stream.coder} is not known")
        data = self._take(stream)
        coder = _CODER_NAMES[stream.coder]
        return decode_ints(coder, stream.width, data, count, kind, threads=self._threads)


def check_shape(dims: Sequence[int]) -> Shape:
    """Return `dims` as a shape after checking it against the limits."""
    shape = tuple(dims)
    if len(shape) > MAX_DIMENSIONS or size_of(shape) > MAX_ELEMENTS:
        raise BadManifest(f"a tensor of shape {shape} is beyond the format's limits")
    return shape


def decode_form(
    message: manifest_pb2.Form, shape: Shape, reader: StreamReader, *, nested: bool = False
) -> Form:
    """Decode the form that `message` describes from the streams of `reader`."""
    count = size_of(shape)
    reader.check_elements(count, 4)
    match message.WhichOneof("kind"):
        case "dense":
            half = message.dense.type == manifest_pb2.Dense.F16
            dtype = np.float16 if half else np.float32
            return Dense(reader.words(message.dense.values, count, dtype).reshape(shape))
        case "codebook":
            return _decode_codebook(message.codebook, shape, reader)
        case "linear":
            return _decode_linear(message.linear, shape, reader)
        case "sparse":
            if nested:
                raise BadManifest("the values of a sparse form are sparse themselves")
            return _decode_sparse(message.sparse, shape, reader)
        case _:
            raise UnknownFeature("a tensor form is not known")


def _decode_codebook(
    message: manifest_pb2.Codebook, shape: Shape, reader: StreamReader
) -> Codebook:
    if not 1 <= message.entries <= 65536:
        raise BadManifest(f"a codebook of {message.entries} entries")
    centroids = reader.words(message.centroids, message.entries, np.float32)
    dtype = _index_type(message.entries)
    indices = reader.ints(message.indices, size_of(shape), dtype).reshape(shape)
    if indices.size and int(indices.max()) >= message.entries:
        raise BadStream("an index lies outside the codebook")
    return Codebook(Dense(centroids[None]), indices)


def _decode_linear(message: manifest_pb2.Linear, shape: Shape, reader: StreamReader) -> Linear:
    rows = shape[0] if shape else 1
    if message.scale_count not in (1, rows) or message.type not in _INT_TYPES:
        raise BadManifest(f"{message.scale_count} scales for a tensor of shape {shape}")
    scales = reader.words(message.scales, message.scale_count, np.float32)
    if not np.isfinite(scales).all():
        raise BadStream("a scale is not finite")
    if message.HasField("zeros"):
        zeros = reader.words(message.zeros, message.scale_count, np.int32)
        if zeros.size and (int(zeros.max()) > MAX_ZERO or int(zeros.min()) < -MAX_ZERO):
            raise BadStream("a zero point is out of range")
    else:
        zeros = np.zeros(message.scale_count, np.int32)
    target = _INT_TYPES[message.type]
    unsigned: np.dtype[Any] = np.dtype(np.uint8 if target.itemsize == 1 else np.uint16)
    bounds = np.iinfo(target)
    if not bounds.min <= message.lowest <= bounds.max:
        raise BadManifest(f"lowest integer {message.lowest} is out of range")
    coded = reader.ints(message.ints, size_of(shape), unsigned)
    if coded.size and int(coded.max()) + message.lowest > bounds.max:
        raise BadStream("an integer is out of range")
    # Unsigned addition wraps as two's complement does, so no wider copy is needed.
    ints = (coded + unsigned.type(message.lowest & ((1 << 8 * unsigned.itemsize) - 1))).view(target)
    return Linear(Dense(scales), zeros, ints.reshape(shape))


def _decode_sparse(message: manifest_pb2.Sparse, shape: Shape, reader: StreamReader) -> Sparse:
    size = size_of(shape)
    count, gap_count, bits = message.count, message.gap_count, message.gap_bits
    if count > size or not 1 <= bits <= 8:
        raise BadManifest(f"{count} values in a sparse tensor of {size} elements")
    if not count <= gap_count <= count + size // ((1 << bits) - 1):
        raise BadManifest(f"{gap_count} gap symbols cannot place {count} values")
    symbols = reader.ints(message.gaps, gap_count, np.uint8)
    reader.check_elements(count, 8)
    positions = relindex.decode(symbols, count, size, bits)
    values = decode_form(message.values, (count,), reader, nested=True)
    return Sparse(shape, positions, values)
