"""open_source: recognise what a path holds, and open it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cmodel.caffe import HDF5_MAGIC
from cmodel.data.archive import is_zip, open_zip
from cmodel.data.arrays import is_npy, is_npz, open_npy, open_npz
from cmodel.data.hdf5 import listed_hdf5, open_hdf5
from cmodel.data.idx import GZIP_MAGIC, is_idx, open_idx
from cmodel.data.images import SUFFIXES, is_image, open_folder, open_image, open_list
from cmodel.data.labels import read_labels
from cmodel.data.lmdb import FILE_NAME, is_lmdb, open_lmdb
from cmodel.data.source import Source
from cmodel.errors import DataError, UnsupportedError, UsageError

_HEAD_BYTES = 4096
# A damaged file is not read as a list because its first bytes happen to be text.
_NO_LISTS = SUFFIXES | {".npz", ".npy", ".zip", ".gz", ".h5", ".hdf5", ".mdb"}
_LFS_POINTER = b"version https://git-lfs"


class _Opener(Protocol):
    def __call__(self, path: Path, *, own_labels: bool, gray: bool) -> Source: ...


@dataclass(frozen=True)
class Kind:
    """A kind of source in one file, told by its first bytes (gzip taken off)."""

    name: str
    recognises: Callable[[bytes], bool]
    open: _Opener


KINDS = (
    Kind("IDX", is_idx, open_idx),
    Kind("npy", is_npy, open_npy),
    Kind("npz", is_npz, open_npz),
    Kind("zip with list.txt", is_zip, open_zip),
    Kind("LMDB", is_lmdb, open_lmdb),
    Kind("image", is_image, open_image),
)


def open_source(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    root: str | Path | None = None,
    gray: bool = False,
    tops: Sequence[str] = ("data", "label"),
) -> Source:
    """Open images or arrays, whatever they are kept in; what it is, the content tells.

    IDX (plain or gzip), .npy, .npz with `x` and `y`, an image file, a folder of images, Caffe's
    ImageData list, a zip with a list.txt, Caffe's LMDB, an HDF5 file or a list of them.

    Parameters
    ----------
    labels : file of labels, used in place of those that the source has: one integer per line,
        .npy, or IDX.
    root : folder that the paths of a list file are relative to; the list's own if not given.
    gray : whether colour images are turned gray when they are read.
    tops : names of the datasets of items and labels in HDF5.

    Raises
    ------
    DataError : it cannot be read, is of no known kind, or is damaged.
    LimitError : it unpacks to more than the limits of `cmodel.data.source`.
    UnsupportedError : LevelDB.
    MissingExtraError : images, and Pillow is not installed (raised when the first is read); HDF5,
        and h5py is not.
    """
    path = Path(path)
    own_labels = labels is None
    try:
        if path.is_dir():
            _refuse_root(root, path)
            source = _open_folder(path, own_labels, gray)
        else:
            source = _open_file(path, None if root is None else Path(root), own_labels, gray, tops)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if labels is not None:
        try:
            source.set_labels(read_labels(Path(labels)), str(labels))
        except BaseException:
            source.close()
            raise
    return source


def _open_folder(path: Path, own_labels: bool, gray: bool) -> Source:
    if (path / FILE_NAME).is_file():
        return open_lmdb(path, own_labels=own_labels, gray=gray)
    if (path / "CURRENT").is_file():
        raise UnsupportedError(
            "LevelDB is not read",
            where=str(path),
            hint="make an LMDB of the same images: `convert_imageset --backend lmdb`",
        )
    return open_folder(path, own_labels=own_labels, gray=gray)


def _open_file(
    path: Path, root: Path | None, own_labels: bool, gray: bool, tops: Sequence[str]
) -> Source:
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head:
        raise DataError("the file is empty", where=str(path))
    if head.startswith(_LFS_POINTER):
        raise DataError(
            "this is a Git LFS pointer, not the data itself",
            where=str(path),
            hint="`git lfs pull` fetches it",
        )
    if head.startswith(HDF5_MAGIC):
        _refuse_root(root, path)
        return open_hdf5(path, [path], tops, own_labels)
    packed = head.startswith(GZIP_MAGIC)
    if packed:
        head = _unpacked_head(path)
    for kind in KINDS:
        # Only IDX is read through gzip.
        if kind.recognises(head) and (not packed or kind.open is open_idx):
            _refuse_root(root, path)
            return kind.open(path, own_labels=own_labels, gray=gray)
    if packed or b"\0" in head or path.suffix.lower() in _NO_LISTS:
        raise DataError(
            "not a known kind of source" + (" inside gzip" if packed else ""),
            where=str(path),
            notes=(f"known: {', '.join(kind.name for kind in KINDS)}, a folder, a list of images",),
        )
    files = listed_hdf5(path, root)
    if files is not None:
        return open_hdf5(path, files, tops, own_labels)
    return open_list(path, own_labels=own_labels, gray=gray, root=root)


def _unpacked_head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(16)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"the gzip file is cut short or damaged: {error}", where=str(path)
        ) from error


def _refuse_root(root: str | Path | None, path: Path) -> None:
    if root is not None:
        raise UsageError("a root folder goes with a list file only", where=str(path))
