"""Walks the protobuf wire format of a caffemodel on a memory map.

protobuf would copy every float, and refuses messages over 2 GB. Here the tensors are left where
they are: each blob is a list of ranges of the file, and only what is no tensor goes to protobuf.
Layers of all three historical layouts (V0, V1, V2) may stand in one file in any mix.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from cmodel.errors import CaffemodelError, InputError, LimitError, UnsupportedError
from cmodel.net import Shape
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense

# Fields that a file may have in all, runs of unpacked floats counted once: real ones have some
# thousands. What a walk costs in time and memory is bounded by this, not by the size of the file.
MAX_FIELDS = 1_000_000
# Bytes of a file that are no tensors.
MAX_MESSAGE = 64 << 20
MAX_NESTING = 100
# Caffe's own limit.
MAX_AXES = 32

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5

USE_WEIGHTS = "give the .caffemodel file that Caffe wrote"


class Piece(NamedTuple):
    """A run of numbers in the file: `size` of them, `stride` bytes apart, from byte `offset`."""

    offset: int
    size: int
    stride: int


@dataclass
class BlobRecord:
    """One blob of a layer as it stands in the file.

    shape : the dimensions it states; four of them where `legacy` is set.
    legacy : whether the shape is given as num, channels, height, width.
    floats, doubles : where the numbers of `data` and `double_data` stand.
    """

    buffer: mmap.mmap | bytes
    offset: int
    shape: Shape = ()
    legacy: bool = False
    floats: list[Piece] = field(default_factory=list)
    doubles: list[Piece] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Number of values; doubles stand for the floats where there are any."""
        return sum(piece.size for piece in self.doubles or self.floats)

    @property
    def place(self) -> str:
        """Where it stands, for errors."""
        return f"byte {self.offset}"

    def form(self, shape: Shape) -> Dense:
        """Return the values as a tensor of this shape: a view on the file where that can be."""
        values = self.values()
        if not values.flags.aligned:
            # Compiled code reads whole floats.
            values = values.copy()
        return Dense(values.reshape(shape))

    def values(self) -> NDArray[np.float32]:
        """Return the values, 1-D float32.

        One packed run of floats comes as a read-only view on the file (which need not be aligned);
        several runs, unpacked numbers and doubles are assembled.
        """
        pieces = self.doubles or self.floats
        dtype = np.dtype("<f8" if self.doubles else "<f4")
        arrays = [_array(self.buffer, piece, dtype) for piece in pieces]
        if len(arrays) == 1 and dtype.itemsize == 4 and arrays[0].flags.c_contiguous:
            return arrays[0]
        result = np.empty(self.size, np.float32)
        position = 0
        # A double beyond float32's range becomes infinite, as a cast in C does.
        with np.errstate(over="ignore"):
            for array in arrays:
                result[position : position + array.size] = array
                position += array.size
        return result


def _array(
    buffer: mmap.mmap | bytes, piece: Piece, dtype: np.dtype[np.float32]
) -> NDArray[np.float32]:
    return np.ndarray((piece.size,), dtype, buffer, piece.offset, (piece.stride,))


@dataclass
class LayerRecord:
    """One layer of a caffemodel.

    version : 0, 1 or 2.
    name : what weights are matched by.
    message : its bytes without blobs: a LayerParameter (V2) or V1LayerParameter (V0, V1).
    offset : where it starts in the file.
    """

    version: int
    name: str
    message: bytes
    blobs: list[BlobRecord]
    offset: int


@dataclass
class Caffemodel:
    """What a caffemodel holds: its layers, and the bytes of the net's other fields."""

    path: str
    header: bytes
    layers: list[LayerRecord]
    shared_once: bool = False

    def net(self) -> caffe_pb2.NetParameter:
        """Return the net as it stands in the file (V0, V1, V2), without blobs."""
        net = caffe_pb2.NetParameter()
        self._parse(net, self.header, 0)
        for record in self.layers:
            if record.version == 2:
                self._parse(net.layer.add(), record.message, record.offset)
            else:
                self._parse(net.layers.add(), record.message, record.offset)
        return net

    def _parse(self, message: Message, data: bytes, offset: int) -> None:
        try:
            message.ParseFromString(data)
        except (DecodeError, UnicodeDecodeError) as error:
            self._fail(f"the message does not parse: {error}", offset)
        if not is_text(message):
            self._fail("a name is not UTF-8", offset)

    def _fail(self, what: str, offset: int) -> NoReturn:
        raise CaffemodelError(
            what,
            where=f"{self.path}, byte {offset}",
            hint="the file is damaged; fetch it again",
        ) from None


def is_text(message: Message) -> bool:
    """Whether all strings are UTF-8; protobuf gives those that are not as bytes."""
    for found, value in message.ListFields():
        items = value if found.is_repeated else (value,)
        if found.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            if not all(is_text(item) for item in items):
                return False
        elif found.type == FieldDescriptor.TYPE_STRING and any(
            isinstance(item, bytes) for item in items
        ):
            return False
    return True


def read_caffemodel(path: str | Path) -> Caffemodel:
    """Map a caffemodel and find its layers and blobs.

    The numbers stay in the file: the arrays that `BlobRecord.values` gives refer to the map, which
    lives as long as they do. The file must not be changed meanwhile.

    Raises
    ------
    InputError
        It cannot be opened.
    CaffemodelError
        It is not a caffemodel, or is damaged; names the byte.
    UnsupportedError
        It is an HDF5 file (`read_weights` reads those).
    LimitError
        It has more fields than any real one.
    """
    buffer = map_file(path)
    walker = _Walker(buffer, str(path))
    model = walker.net()
    if not model.layers:
        raise CaffemodelError(
            "the file holds no layers, so it is not a caffemodel",
            where=str(path),
            hint=_what_it_may_be(buffer) or USE_WEIGHTS,
        )
    return model


def read_blob(path: str | Path) -> BlobRecord:
    """Map a file that is one BlobProto (a mean.binaryproto); errors as `read_caffemodel`."""
    buffer = map_file(path)
    return _Walker(buffer, str(path)).blob(0, len(buffer))


def read_head(path: str | Path, size: int = 1 << 16) -> bytes:
    """Return the first bytes of a file of weights; InputError where it cannot be opened."""
    try:
        with Path(path).open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(
            f"cannot read the weights: {error.strerror or error}", where=str(path)
        ) from None


def blob_of_bytes(data: bytes, path: str) -> BlobRecord:
    """Take a serialized BlobProto; errors as `read_caffemodel`, with `path` for their place."""
    return _Walker(data, path).blob(0, len(data))


def map_file(path: str | Path) -> mmap.mmap:
    """Map a binary file of Caffe for reading; refuses at once what is plainly something else."""
    try:
        with Path(path).open("rb") as file:
            if not file.seek(0, 2):
                raise CaffemodelError(
                    "the file is empty", where=f"{path}, byte 0", hint="fetch it again"
                )
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read the weights: {reason}", where=str(path)) from None
    _refuse_other_kinds(buffer, str(path))
    return buffer


def _refuse_other_kinds(buffer: mmap.mmap, path: str) -> None:
    head = buffer[:512]
    where = f"{path}, byte 0"
    if head.startswith(b"version https://git-lfs"):
        raise CaffemodelError(
            "this is a Git LFS pointer, not the file itself",
            where=where,
            hint="fetch the file with `git lfs pull`",
        )
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        raise UnsupportedError("this is an HDF5 file, not a binary message of Caffe", where=where)
    if hint := _what_it_may_be(buffer):
        raise CaffemodelError("this is not a binary file of Caffe", where=where, hint=hint)


def _what_it_may_be(buffer: mmap.mmap) -> str | None:
    head = buffer[:512]
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            return f"it looks like {what}; {USE_WEIGHTS}"
    if all(byte in _TEXT for byte in head):
        return f"it looks like text (a prototxt?); {USE_WEIGHTS}"
    return None


_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
)
_TEXT = frozenset(b"\t\n\r" + bytes(range(32, 127)))


class _Field(NamedTuple):
    number: int
    wire: int
    # Of the tag, of the value, and the end of the value.
    start: int
    at: int
    end: int


class _Run(NamedTuple):
    size: int
    stride: int
    end: int


class _Walker:
    """Reads fields; every length is held against the end of its message before it is used."""

    def __init__(self, buffer: mmap.mmap | bytes, path: str) -> None:
        self.buffer = buffer
        self.path = path
        self.fields = 0
        self.message_bytes = 0

    def fail(self, what: str, offset: int) -> NoReturn:
        raise CaffemodelError(
            what,
            where=f"{self.path}, byte {offset}",
            hint="the file is cut or damaged, or is not a caffemodel; fetch it again",
        )

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return a varint of up to 64 bits and where it ends."""
        buffer = self.buffer
        value = 0
        for i in range(10):
            if at + i >= end:
                self.fail("the data end inside a number", at)
            byte = buffer[at + i]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at + i + 1
        self.fail("a number takes more than 10 bytes", at)

    def walk(self, at: int, end: int) -> Iterator[_Field]:
        """Yield the fields of a message."""
        while at < end:
            found = self.field(at, end)
            yield found
            at = found.end

    def field(self, start: int, end: int, depth: int = 0) -> _Field:
        """Read one field, a group with all that it holds."""
        self.fields += 1
        if self.fields > MAX_FIELDS:
            raise LimitError(
                f"the file has more than {MAX_FIELDS:,} fields",
                where=f"{self.path}, byte {start}",
                hint=USE_WEIGHTS,
            )
        tag, at = self.varint(start, end)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            self.fail(f"there is no field number {number}", start)
        if wire == VARINT:
            stop = self.varint(at, end)[1]
        elif wire == BYTES:
            size, at = self.varint(at, end)
            if size > end - at:
                self.fail(
                    f"field {number} says that {size:,} bytes follow, {end - at:,} are left", start
                )
            stop = at + size
        elif wire in (FIXED32, FIXED64):
            stop = at + (4 if wire == FIXED32 else 8)
            if stop > end:
                self.fail("the data end inside a number", at)
        elif wire == GROUP:
            stop = self.group(number, start, at, end, depth)
        elif wire == END_GROUP and depth:
            stop = at
        else:
            self.fail(f"field {number} has the impossible wire type {wire}", start)
        return _Field(number, wire, start, at, stop)

    def group(self, number: int, start: int, at: int, end: int, depth: int) -> int:
        """Return where a group ends (nobody writes them, unknown fields may have them)."""
        if depth >= MAX_NESTING:
            self.fail(f"groups are nested deeper than {MAX_NESTING}", start)
        while True:
            if at >= end:
                self.fail(f"the group of field {number} has no end", start)
            inner = self.field(at, end, depth + 1)
            at = inner.end
            if inner.wire == END_GROUP:
                if inner.number != number:
                    self.fail(f"field {inner.number} ends the group of field {number}", inner.start)
                return at

    def net(self) -> Caffemodel:
        """Read a NetParameter."""
        header: list[bytes] = []
        layers: list[LayerRecord] = []
        for found in self.walk(0, len(self.buffer)):
            if found.wire == BYTES and found.number == 100:
                layers.append(self.layer(found))
            elif found.wire == BYTES and found.number == 2:
                layers.append(self.v1_layer(found))
            else:
                header.append(self.keep(found))
        return Caffemodel(self.path, b"".join(header), layers)

    def keep(self, found: _Field) -> bytes:
        """Return the bytes of a field, tag included."""
        self.message_bytes += found.end - found.start
        if self.message_bytes > MAX_MESSAGE:
            raise LimitError(
                f"the file has more than {MAX_MESSAGE >> 20} MiB besides its blobs",
                where=f"{self.path}, byte {found.start}",
                hint=USE_WEIGHTS,
            )
        return self.buffer[found.start : found.end]

    def layer(self, outer: _Field) -> LayerRecord:
        """Read a LayerParameter."""
        return self.parts(outer, version=2, name_field=1, blob_field=7)

    def v1_layer(self, outer: _Field) -> LayerRecord:
        """Read a V1LayerParameter; its field 1 is a V0 layer, which then has name and blobs."""
        record = self.parts(outer, version=1, name_field=4, blob_field=6, skip=1)
        for found in self.walk(outer.at, outer.end):
            if found.number == 1 and found.wire == BYTES:
                inner = self.parts(found, version=0, name_field=1, blob_field=50)
                size = encode_varint(len(inner.message))
                record.message += b"\x0a" + size + inner.message
                record.version = 0
                record.name = inner.name or record.name
                record.blobs += inner.blobs
        return record

    def parts(
        self, outer: _Field, *, version: int, name_field: int, blob_field: int, skip: int = 0
    ) -> LayerRecord:
        """Take a layer's message apart."""
        name = ""
        kept: list[bytes] = []
        blobs: list[BlobRecord] = []
        for found in self.walk(outer.at, outer.end):
            if found.wire == BYTES and found.number == blob_field:
                blobs.append(self.blob(found.at, found.end))
            elif found.wire == BYTES and found.number == skip:
                continue
            else:
                kept.append(self.keep(found))
                if found.wire == BYTES and found.number == name_field:
                    name = self.text(found)
        return LayerRecord(version, name, b"".join(kept), blobs, outer.start)

    def text(self, found: _Field) -> str:
        try:
            return self.buffer[found.at : found.end].decode()
        except UnicodeDecodeError:
            self.fail("a layer's name is not UTF-8", found.at)

    def blob(self, at: int, end: int) -> BlobRecord:
        """Read a BlobProto."""
        record = BlobRecord(self.buffer, at)
        legacy = [0, 0, 0, 0]
        dims: list[int] = []
        while at < end:
            found = self.field(at, end)
            at = found.end
            number, wire = found.number, found.wire
            if number == 5 and wire in (BYTES, FIXED32):
                at = self.numbers(record.floats, found, end, 4)
            elif number == 8 and wire in (BYTES, FIXED64):
                at = self.numbers(record.doubles, found, end, 8)
            elif number == 6 and wire == FIXED32:
                at = self.run(found, end, 4).end
            elif number == 9 and wire == FIXED64:
                at = self.run(found, end, 8).end
            elif number == 7 and wire == BYTES:
                self.dims(dims, found)
            elif 1 <= number <= 4 and wire == VARINT:
                record.legacy = True
                # int32 is written sign-extended to 64 bits.
                value = self.varint(found.at, found.end)[0] & 0xFFFFFFFF
                legacy[number - 1] = value - ((value >> 31) << 32)
        record.shape = tuple(legacy if record.legacy else dims)
        for size in record.shape:
            if not 0 <= size < 1 << 31:
                self.fail(f"a blob has the impossible shape {record.shape}", record.offset)
        return record

    def numbers(self, pieces: list[Piece], found: _Field, end: int, size: int) -> int:
        """Note where numbers stand; return where they end."""
        if found.wire != BYTES:
            run = self.run(found, end, size)
            pieces.append(Piece(found.at, run.size, run.stride))
            return run.end
        count, rest = divmod(found.end - found.at, size)
        if rest:
            self.fail(
                f"{found.end - found.at:,} bytes are no whole number of {size}-byte values",
                found.start,
            )
        if count:
            pieces.append(Piece(found.at, count, size))
        return found.end

    def run(self, found: _Field, end: int, size: int) -> _Run:
        """Find how many unpacked numbers with the same tag follow each other."""
        tag = self.buffer[found.start : found.at]
        stride = len(tag) + size
        most = (end - found.start) // stride
        count = 1
        while count < most:
            # In growing steps, so that short runs are cheap and long ones fast.
            step = min(most - count, max(64, min(count, 1 << 20)))
            start = found.start + count * stride
            rows = np.ndarray((step, stride), np.uint8, self.buffer, start)
            equal = (rows[:, : len(tag)] == np.frombuffer(tag, np.uint8)).all(axis=1)
            if not equal.all():
                count += int(equal.argmin())
                break
            count += step
        return _Run(count, stride, found.start + count * stride)

    def dims(self, dims: list[int], outer: _Field) -> None:
        """Read a BlobShape; several of them are merged, as protobuf does."""
        for found in self.walk(outer.at, outer.end):
            if found.number != 1:
                continue
            if found.wire not in (VARINT, BYTES):
                continue
            at = found.at
            while at < found.end:
                value, at = self.varint(at, found.end)
                if len(dims) == MAX_AXES:
                    self.fail(f"a blob has more than {MAX_AXES} axes", found.start)
                dims.append(_signed(value))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def encode_varint(value: int) -> bytes:
    """Encode a varint."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
