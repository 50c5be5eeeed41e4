""".npy and .npz. The type says what the items are; nothing is ever unpickled.

uint8 is images: (N,H,W,3) RGB, (N,H,W) or (N,H,W,1) gray; (H,W,3), (H,W,1) and (H,W) are one image.
Floating point is what the net is fed, unchanged: the first axis counts the items, except that an
array of one or three axes is one item.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cmodel.data.source import MAX_ARRAY_BYTES, IntArray, Items, Source
from cmodel.errors import DataError, LimitError

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
# What zipfile raises on a damaged, encrypted or exotic member.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
)
_MAX_HEADER = 10_000
# What NumPy's parser raises on a header that is none.
_HEADER_ERRORS = (
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)


class ArraySource(Source):
    """Items along the first axis of an array, in memory or mapped: uint8 images or floats."""

    def __init__(self, path: Path, array: NDArray[Any], *, gray: bool = False) -> None:
        self._array = array
        self.as_fed = array.dtype.kind == "f"
        super().__init__(path, [str(i) for i in range(len(array))], gray=gray)

    def _read(self, indices: IntArray) -> Items:
        chosen = self._array[indices]
        return np.array(chosen, np.float32) if self.as_fed else np.array(chosen, np.uint8)


def is_npy(head: bytes) -> bool:
    """Whether a file that starts so is .npy."""
    return head.startswith(NPY_MAGIC)


def is_npz(head: bytes) -> bool:
    """Whether a file that starts so is a zip whose first member is an array."""
    length = int.from_bytes(head[26:28], "little")
    return head.startswith(ZIP_MAGIC) and head[30 : 30 + length].endswith(b".npy")


def open_npy(path: Path, *, own_labels: bool, gray: bool) -> Source:
    """Open the items of a .npy file, mapped."""
    del own_labels  # there are none
    return ArraySource(path, _stacked(read_npy(path), str(path)), gray=gray)


def open_npz(path: Path, *, own_labels: bool, gray: bool) -> Source:
    """Open the items `x` and the labels `y` (optional, integers (N,)) of a .npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "x.npy" not in names:
                arrays = ", ".join(name.removesuffix(".npy") for name in names[:8])
                raise DataError(
                    "there is no array `x`", where=str(path), notes=(f"arrays: {arrays}",)
                )
            items = _stacked(_read_member(archive, "x.npy", path), str(path))
            source = ArraySource(path, items, gray=gray)
            if own_labels and "y.npy" in names:
                where = f"{path}, array y"
                source.set_labels(as_labels(_read_member(archive, "y.npy", path), where), where)
    except ZIP_ERRORS as error:
        raise DataError(f"the npz file is damaged: {error}", where=str(path)) from error
    return source


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, mapped."""
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = _read_header(stream, str(path))
            offset = stream.tell()
        _check_size(shape, dtype, path.stat().st_size - offset, str(path))
        if not prod(shape):
            return np.empty(shape, dtype=dtype)
        order: Literal["F", "C"] = "F" if fortran else "C"
        array: NDArray[Any] = np.memmap(
            path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order
        )
        return array
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error


def as_labels(array: NDArray[Any], where: str) -> IntArray:
    """Return labels as int64 (N,)."""
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(
            f"labels are integers (N), not {array.dtype} of shape {array.shape}", where=where
        )
    return np.array(array, dtype=np.int64)


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    where = f"{path}, array {name.removesuffix('.npy')}"
    info = archive.getinfo(name)
    if info.file_size > MAX_ARRAY_BYTES:
        raise LimitError(
            f"the array has {info.file_size} bytes; {MAX_ARRAY_BYTES} is the limit",
            where=where,
            hint="a plain .npy file has no limit: it is mapped",
        )
    with archive.open(info) as stream:
        shape, fortran, dtype = _read_header(stream, where)
        _check_size(shape, dtype, info.file_size - stream.tell(), where)
        data = stream.read()
    # The directory may state more bytes than there are.
    _check_size(shape, dtype, len(data), where)
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _read_header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers: dict[tuple[int, int], Callable[..., Any]] = {
        (1, 0): npy.read_array_header_1_0,
        (2, 0): npy.read_array_header_2_0,
    }
    try:
        version = npy.read_magic(stream)
        if version not in readers:
            raise ValueError(f"version {version[0]}.{version[1]} is not supported")
        shape, fortran, dtype = readers[version](stream, max_header_size=_MAX_HEADER)
    except _HEADER_ERRORS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"the npy header is damaged: {reason}", where=where) from error
    if dtype.kind not in "iuf" or dtype.hasobject or any(n < 0 for n in shape):
        raise DataError(f"an array of {dtype} holds neither images nor labels", where=where)
    return shape, fortran, dtype


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], found: int, where: str) -> None:
    stated = prod(shape) * dtype.itemsize
    if stated != found:
        raise DataError(
            f"the npy header states {stated} bytes ({dtype}, shape {shape}), the file has {found}",
            where=where,
        )


def _stacked(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Return the array with items along the first axis."""
    shape = array.shape
    if array.dtype.kind == "f":
        if array.ndim in (1, 3):
            return array[None]
        if array.ndim >= 2:
            return array
    elif array.dtype == np.uint8:
        last_is_colour = array.ndim >= 3 and shape[-1] in (1, 3)
        if array.ndim == 2 or (array.ndim == 3 and last_is_colour):
            return array[None]
        if array.ndim == 3 or (array.ndim == 4 and last_is_colour):
            return array
    raise DataError(
        f"{array.dtype} of shape {shape} is not a set of images",
        where=where,
        hint="give uint8 (N,H,W,3) RGB or (N,H,W) gray, or float32 (N,C,H,W) as it is fed",
    )
