"""HDF5 data as Caffe's HDF5Data layer reads it: float arrays as fed, from one file or a list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from cmodel.caffe import HDF5_MAGIC, check_dataset, damage_named, load_h5py
from cmodel.data.source import (
    MAX_TEXT_BYTES,
    FloatArray,
    IntArray,
    Items,
    Source,
    decode_text,
    read_bytes,
)
from cmodel.errors import DataError
from cmodel.net import Shape


class Hdf5Source(Source):
    """Items along the first axis of the same dataset of several files, one after another.

    The files are opened for each read: a list may name more of them than can be open at once.
    """

    as_fed = True

    def __init__(self, path: Path, files: Sequence[Path], dataset: str) -> None:
        self._h5py = load_h5py("reading HDF5 data")
        self._dataset = dataset
        self._files = files
        shapes = [self._shape(file, dataset) for file in files]
        self._item_shape = shapes[0][1:]
        for file, shape in zip(files, shapes, strict=True):
            if shape[1:] != self._item_shape:
                raise DataError(
                    f"the items have the shape {shape[1:]}, in {files[0]} {self._item_shape}",
                    where=f"{file}, dataset {dataset}",
                )
        self._starts = np.cumsum([0, *(shape[0] for shape in shapes)])
        super().__init__(path, range_names(int(self._starts[-1])))

    def own_labels(self, dataset: str) -> IntArray | None:
        """Return the labels of a dataset, int64 (N,); None where a file has none for each item."""
        parts: list[IntArray] = []
        for file, (start, end) in zip(self._files, pairwise(self._starts), strict=True):
            where = f"{file}, dataset {dataset}"
            with damage_named(str(file), DataError), self._h5py.File(file, "r") as opened:
                if dataset not in opened:
                    return None
            shape = self._shape(file, dataset)
            if shape[0] != end - start:
                raise DataError(f"{end - start} items but {shape[0]} labels", where=where)
            if any(size != 1 for size in shape[1:]):
                return None
            values = np.empty(shape, np.float64)
            self._read_into(file, dataset, values, slice(0, shape[0]))
            labels = values.reshape(-1)
            if not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
                raise DataError("the labels are no whole numbers", where=where)
            parts.append(labels.astype(np.int64))
        return np.concatenate(parts)

    def _shape(self, file: Path, dataset: str) -> Shape:
        where = f"{file}, dataset {dataset}"
        with damage_named(str(file), DataError), self._h5py.File(file, "r") as opened:
            found = opened.get(dataset, getlink=True)
            if found is None:
                raise DataError(
                    f"there is no dataset `{dataset}`",
                    where=str(file),
                    notes=(f"it holds: {', '.join(list(opened)[:8]) or 'nothing'}",),
                    hint="the datasets are called like the tops of the HDF5Data layer",
                )
            if not isinstance(found, self._h5py.HardLink):
                raise DataError("a link is not followed", where=where)
            if not isinstance(opened[dataset], self._h5py.Dataset):
                raise DataError("it is a group, not a dataset", where=where)
            shape = check_dataset(opened[dataset], where, DataError)
        if not shape:
            raise DataError("the dataset is one number, not a row of items", where=where)
        return shape

    def _read(self, indices: IntArray) -> Items:
        items: FloatArray = np.empty((len(indices), *self._item_shape), np.float32)
        for at, count in _runs(indices, self._starts):
            number = int(np.searchsorted(self._starts, indices[at], side="right")) - 1
            first = int(indices[at] - self._starts[number])
            file = self._files[number]
            self._read_into(
                file, self._dataset, items[at : at + count], slice(first, first + count)
            )
        return items

    def _read_into(self, file: Path, dataset: str, target: np.ndarray, rows: slice) -> None:
        if not target.size:
            return
        where = f"{file}, dataset {dataset}"
        with damage_named(where, DataError), self._h5py.File(file, "r") as opened:
            opened[dataset].read_direct(target, source_sel=np.s_[rows])


def range_names(count: int) -> Sequence[str]:
    """Return the names of items that have none: their indices."""
    return [str(i) for i in range(count)]


def _runs(indices: IntArray, starts: IntArray) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of each run of indices that follow each other in one file."""
    if not len(indices):
        return
    breaks = (np.diff(indices) != 1) | np.isin(indices[1:], starts)
    edges = [0, *(np.flatnonzero(breaks) + 1), len(indices)]
    for first, end in pairwise(edges):
        yield int(first), int(end - first)


def open_hdf5(path: Path, files: Sequence[Path], tops: Sequence[str], own_labels: bool) -> Source:
    """Open the dataset called like the first of `tops`, and as labels the second."""
    source = Hdf5Source(path, files, tops[0])
    labels = source.own_labels(tops[1]) if own_labels and len(tops) > 1 else None
    if labels is not None:
        source.set_labels(labels, str(path))
    return source


def listed_hdf5(path: Path, root: Path | None) -> list[Path] | None:
    """Return the files that a list names, one a line, where the first of them is HDF5; else None.

    Paths are relative to `root`, or to the list's folder, or to the working directory.
    """
    with path.open("rb") as stream:
        head = stream.read(4096)
    first = head.strip().split(b"\n")[0].strip()
    if not first or not is_hdf5(_located(os.fsdecode(first), path, root)):
        return None
    lines = decode_text(read_bytes(path, MAX_TEXT_BYTES), str(path))
    files = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        file = _located(line.strip(), path, root)
        if not is_hdf5(file):
            raise DataError(f"{str(file)!r} is no HDF5 file", where=f"{path}:{number}")
        files.append(file)
    return files


def is_hdf5(path: Path) -> bool:
    """Whether a path is a file that starts as HDF5 does."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(HDF5_MAGIC)) == HDF5_MAGIC
    except (OSError, ValueError):
        return False


def _located(entry: str, path: Path, root: Path | None) -> Path:
    beside = (path.parent if root is None else root) / entry
    return beside if root is not None or os.path.exists(beside) else Path(entry)  # noqa: PTH110
