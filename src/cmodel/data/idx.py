"""IDX, the format of MNIST: big-endian sizes, then bytes; often inside gzip."""

from __future__ import annotations

import gzip
import re
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmodel.data.arrays import ArraySource
from cmodel.data.source import MAX_ARRAY_BYTES, IntArray, Source
from cmodel.errors import DataError, LimitError

GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_RATIO = 1032  # deflate packs no tighter than this
_GZIP_ERRORS = (EOFError, OSError, zlib.error)


def is_idx(head: bytes) -> bool:
    """Whether a file that starts so (gzip taken off) is IDX."""
    return head[:2] == b"\0\0" and head[2:3] in {
        b"\x08",
        b"\x09",
        b"\x0b",
        b"\x0c",
        b"\x0d",
        b"\x0e",
    }


def open_idx(path: Path, *, own_labels: bool, gray: bool) -> Source:
    """Open gray images, (N,H,W) uint8; their labels lie beside them under a like name."""
    images = read_idx(path)
    if images.ndim != 3:
        raise DataError(f"images are idx3 (N,H,W); this is idx{images.ndim}", where=str(path))
    source = ArraySource(path, images, gray=gray)
    beside = _labels_beside(path)
    if own_labels and beside is not None:
        source.set_labels(read_idx_labels(beside), str(beside))
    return source


def read_idx_labels(path: Path) -> IntArray:
    """Return the labels of an idx1 file."""
    labels = read_idx(path)
    if labels.ndim != 1:
        raise DataError(f"labels are idx1 (N); this is idx{labels.ndim}", where=str(path))
    return np.array(labels, dtype=np.int64)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes; without gzip it is mapped, not read."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == GZIP_MAGIC
        size = path.stat().st_size
        return _read_packed(path, size) if packed else _map(path, size)
    except _GZIP_ERRORS as error:
        reason = "is cut short or damaged" if packed else "cannot be read"
        raise DataError(f"the IDX file {reason}: {error}", where=str(path)) from error


def _map(path: Path, size: int) -> NDArray[np.uint8]:
    with path.open("rb") as stream:
        shape, offset = _header(stream.read(4 + 4 * 255), path)
    if size != offset + prod(shape):
        raise DataError(
            f"the IDX header states {_by(shape)} bytes after byte {offset}, the file has "
            f"{size - offset}",
            where=str(path),
        )
    if not prod(shape):
        return np.empty(shape, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=shape)


def _read_packed(path: Path, size: int) -> NDArray[np.uint8]:
    with gzip.open(path, "rb") as stream:
        head = stream.read(4)
        head += stream.read(4 * head[3]) if len(head) == 4 else b""
        shape, _ = _header(head, path)
        expected = prod(shape)
        if expected > MAX_ARRAY_BYTES:
            raise LimitError(
                f"the IDX header states {_by(shape)} bytes; {MAX_ARRAY_BYTES} is the limit",
                where=str(path),
            )
        if expected > _DEFLATE_RATIO * size:
            raise DataError(
                f"the IDX header states {_by(shape)} bytes, more than {size} packed bytes can hold",
                where=str(path),
            )
        data = stream.read(expected + 1)
    if len(data) != expected:
        found = "more" if len(data) > expected else str(len(data))
        raise DataError(
            f"the IDX header states {_by(shape)} bytes, the file has {found}", where=str(path)
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _header(head: bytes, path: Path) -> tuple[tuple[int, ...], int]:
    """Return the shape and the offset of the data."""
    if len(head) < 4 or not is_idx(head):
        raise DataError("not an IDX file", where=str(path))
    if head[2] != 0x08:
        raise DataError(
            f"IDX type 0x{head[2]:02x} is not supported, only unsigned bytes (0x08)",
            where=str(path),
        )
    offset = 4 + 4 * head[3]
    if len(head) < offset or head[3] == 0:
        raise DataError(f"the IDX header is cut short at byte {len(head)}", where=str(path))
    return tuple(int(n) for n in np.frombuffer(head, dtype=">u4", count=head[3], offset=4)), offset


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _labels_beside(path: Path) -> Path | None:
    name, found = re.subn(r"images([-.])idx3", r"labels\1idx1", path.name)
    if not found:
        return None
    plain = name.removesuffix(".gz")
    candidates = (path.with_name(n) for n in (name, plain, plain + ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)
