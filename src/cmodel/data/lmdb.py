"""LMDB as Caffe's `convert_imageset` writes it: a Datum under each key, in the order of the keys.

A Datum holds raw planes C,H,W, which are fed in the order that they are stored in (blue, green, red
from `convert_imageset`), or an encoded image (JPEG, PNG), which is fed as an image file is.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from cmodel.data.images import decode_image
from cmodel.data.lmdb_pages import MAGIC, read_entries
from cmodel.data.source import MAX_IMAGE_BYTES, IntArray, Item, Items, Source
from cmodel.errors import DataError, LimitError
from cmodel.proto import caffe_pb2

FILE_NAME = "data.mdb"


class LmdbSource(Source):
    """Images in an LMDB, which stays mapped; its first Datum tells which kind they are."""

    def __init__(self, path: Path, buffer: mmap.mmap, *, own_labels: bool, gray: bool) -> None:
        self._buffer = buffer
        entries = read_entries(buffer, str(path))
        self._starts, self._sizes = entries.starts, entries.sizes
        super().__init__(path, entries.keys, gray=gray)
        self.planes = not self._datum(0).encoded
        if own_labels:
            labels = [self._header(i).label for i in range(len(self))]
            self.set_labels(np.array(labels, np.int64), str(path))

    def close(self) -> None:
        """Unmap the file."""
        self._buffer.close()

    def _read(self, indices: IntArray) -> Items:
        return [self._item(int(i)) for i in indices]

    def _item(self, index: int) -> Item:
        datum = self._datum(index)
        where = f"{self.path}, entry {self.names[index]}"
        if datum.encoded:
            image = decode_image(datum.data, where)
            return _planes_of(image) if self.planes else image
        planes = _raw_planes(datum, where)
        return planes if self.planes else _image_of(planes, where)

    def _datum(self, index: int) -> caffe_pb2.Datum:
        start, size = int(self._starts[index]), int(self._sizes[index])
        if size > MAX_IMAGE_BYTES:
            raise LimitError(
                f"the entry has {size:,} bytes; {MAX_IMAGE_BYTES:,} is the limit",
                where=f"{self.path}, entry {self.names[index]}",
            )
        return self._parse(self._buffer[start : start + size], index)

    def _header(self, index: int) -> caffe_pb2.Datum:
        """Return a Datum without its data: of large ones only the first and last page is read."""
        start, size = int(self._starts[index]), int(self._sizes[index])
        head = self._buffer[start : start + min(size, 64)]
        at = 0
        # Channels, height and width as they are written: each a tag and a number.
        while head[at : at + 1] in (b"\x08", b"\x10", b"\x18"):
            at = _varint(head, at + 1)[1]
        if head[at : at + 1] != b"\x22":
            return self._datum(index)
        length, data = _varint(head, at + 1)
        if data + length > size:
            return self._datum(index)
        rest = self._buffer[start + data + length : start + size]
        return self._parse(head[:at] + rest, index)

    def _parse(self, data: bytes, index: int) -> caffe_pb2.Datum:
        try:
            return caffe_pb2.Datum.FromString(data)
        except (DecodeError, UnicodeDecodeError) as error:
            raise DataError(
                f"the entry is no Datum of Caffe: {error}",
                where=f"{self.path}, entry {self.names[index]}",
            ) from error


def is_lmdb(head: bytes) -> bool:
    """Whether a file that starts so is an LMDB."""
    return head[16:20] == MAGIC


def open_lmdb(path: Path, *, own_labels: bool, gray: bool) -> Source:
    """Open a database file, or the folder that it lies in."""
    file = path / FILE_NAME if path.is_dir() else path
    with file.open("rb") as stream:
        if not stream.seek(0, 2):
            raise DataError("the database is empty", where=str(file), hint="make it again")
        buffer = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return LmdbSource(path, buffer, own_labels=own_labels, gray=gray)
    except BaseException:
        buffer.close()
        raise


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends; whatever is damaged is for the parser to name."""
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            break
        shift += 7
    return value, at


def _raw_planes(datum: caffe_pb2.Datum, where: str) -> NDArray[Any]:
    """Return the planes of a raw Datum, uint8 or float32 (C,H,W)."""
    shape = (datum.channels, datum.height, datum.width)
    values: NDArray[Any] = np.frombuffer(datum.data, np.uint8)
    if not datum.data:
        values = np.array(datum.float_data, np.float32)
    if min(shape) < 1 or values.size != shape[0] * shape[1] * shape[2]:
        raise DataError(
            f"the Datum states {shape[0]} x {shape[1]} x {shape[2]} values and holds {values.size}",
            where=where,
        )
    return values.reshape(shape)


def _planes_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H,W) or (H,W,3) RGB as planes, in Caffe's order."""
    return image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)[::-1]


def _image_of(planes: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Return planes in Caffe's order as an image (H,W) or (H,W,3) RGB."""
    if planes.dtype != np.uint8 or len(planes) not in (1, 3):
        raise DataError("the entry is no image, and the first one is", where=where)
    return planes[0] if len(planes) == 1 else np.moveaxis(planes[::-1], 0, 2)
