"""Weights as the kernels compute with them compressed, made from the tensor forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel import _engine
from cmodel.engine.ops.op import Array, dense
from cmodel.net import Parameter
from cmodel.tensors import Codebook, Sparse


@dataclass(frozen=True, eq=False)
class Coded:
    """Indices into codebooks of at most 16 entries, for all weights or those of a sparse matrix.

    indices : bytes, as the kernel reads them. entries : (codebooks, 16); each codebook belongs to
        as many rows as every other.
    """

    indices: NDArray[np.uint8]
    entries: Array


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A matrix (rows, columns), row by row: only the weights that are stored.

    starts : (rows + 1,); row r has the weights from starts[r] up to starts[r + 1].
    columns : of each weight.
    values : float32, or indices into one codebook.
    """

    shape: tuple[int, int]
    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: Array | Coded

    @property
    def stored(self) -> int:
        """Number of stored weights."""
        return self.columns.size

    @property
    def floats(self) -> Array:
        """Values as float32."""
        if isinstance(self.values, Coded):
            return np.ascontiguousarray(self.values.entries[0][self.values.indices])
        return self.values


def _entries(codebook: Codebook) -> Array:
    """Return the codebooks filled up with zeros to what the kernels take."""
    entries = np.zeros((codebook.groups, _engine.MOST_ENTRIES), np.float32)
    entries[:, : codebook.entries] = dense(codebook.centroids)
    return entries


def _fits(codebook: Codebook) -> bool:
    return codebook.entries <= _engine.MOST_ENTRIES and codebook.indices.dtype == np.uint8


def sparse_rows(form: Parameter, rows: int) -> SparseRows | None:
    """Return a sparse form of so many rows as such, None for other forms."""
    if not isinstance(form, Sparse) or form.positions.size == 0 or form.shape[:1] != (rows,):
        return None
    columns = int(np.prod(form.shape[1:], dtype=np.int64))
    height, width = form.block
    values = form.values
    kept: Any = None
    if isinstance(values, Codebook) and values.groups == 1 and _fits(values):
        kept = np.ascontiguousarray(values.indices)
    numbers: Any = dense(values) if kept is None else kept
    if form.block == (1, 1):
        row, column = np.divmod(form.positions, columns)
    else:
        top, left = np.divmod(form.positions, columns // width)
        every = top.size, height, width
        row = np.broadcast_to((top * height)[:, None, None] + np.arange(height)[:, None], every)
        column = np.broadcast_to((left * width)[:, None, None] + np.arange(width), every)
        order = np.argsort(row, axis=None, kind="stable")
        row, column, numbers = row.reshape(-1)[order], column.reshape(-1)[order], numbers[order]
    starts = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=rows), out=starts[1:])
    if kept is not None and isinstance(values, Codebook):
        return SparseRows((rows, columns), starts, column, Coded(numbers, _entries(values)))
    return SparseRows((rows, columns), starts, column, numbers)


def coded(form: Parameter, rows: int) -> Coded | None:
    """Return a form of so many rows with a small codebook as such, None for other forms."""
    if not isinstance(form, Codebook) or not _fits(form) or form.shape[:1] != (rows,):
        return None
    if rows % form.groups or not form.indices.size:
        return None
    indices: Any = np.ascontiguousarray(form.indices).reshape(rows, -1)
    return Coded(_engine.pack_indices(indices), _entries(form))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of rows that share their columns.

    rows : of a block. starts : (blocks + 1,). columns : of each block. weights : (columns, rows).
    """

    rows: int
    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    weights: Array


def blocks_of(matrix: SparseRows, rows: int) -> Blocks:
    """Return each `rows` rows with the columns in which any of them has a weight."""
    if rows == 1:
        return Blocks(1, matrix.starts, matrix.columns, matrix.floats[:, None])
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.starts))
    places = row // rows * matrix.shape[1] + matrix.columns
    kept, number = np.unique(places, return_inverse=True)
    weights = np.zeros((kept.size, rows), np.float32)
    weights[number, row % rows] = matrix.floats
    starts = np.zeros(matrix.shape[0] // rows + 1, np.int64)
    block, columns = np.divmod(kept, matrix.shape[1])
    np.cumsum(np.bincount(block, minlength=starts.size - 1), out=starts[1:])
    return Blocks(rows, starts, columns, weights)
