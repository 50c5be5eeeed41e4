"""Weights as data for pictures: histograms, their levels, and maps of where weights are."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.tensors import Codebook, Form, Hashed, Linear, Product, Sparse, size_of

BINS = 60
MAX_SAMPLE = 1 << 20
MAX_LEVELS = 256
# Of the values, what may lie beyond either end of a histogram.
_TAIL = 0.0005
_SHADES = 16
_BLOCK = 1 << 22

FloatArray = NDArray[np.float32]


def histogram(values: FloatArray) -> dict[str, Any] | None:
    """Return the histogram of the values that are finite and not zero; None where there are none.

    Of more than MAX_SAMPLE values every n-th is counted. `counts` are of BINS bins from `low` to
    `high`; `beyond` is the number of sampled values outside.
    """
    flat = values.reshape(-1)
    flat = flat[:: -(-flat.size // MAX_SAMPLE) or 1]
    kept = flat[np.isfinite(flat) & (flat != 0)].astype(np.float64)
    if not kept.size:
        return None
    low, high = (float(end) for end in np.quantile(kept, [_TAIL, 1 - _TAIL]))
    if not high > low:
        low, high = low - abs(low) * 0.5, high + abs(high) * 0.5
    counts, _ = np.histogram(kept, BINS, (low, high))
    return {
        "low": low,
        "high": high,
        "counts": counts.tolist(),
        "beyond": int(kept.size - counts.sum()),
        "sampled": int(flat.size),
    }


def levels(form: Form) -> list[float] | None:
    """Return the values that a tensor's weights can take where one set serves all of them."""
    match form:
        case Sparse():
            return levels(form.values)
        case Codebook() if form.groups == 1 and form.entries <= MAX_LEVELS:
            return sorted(float(value) for value in form.centroids.to_dense().reshape(-1))
        case Linear() if form.groups == 1 and form.ints.size:
            ints = np.unique(form.ints).astype(np.int64)
            scale = float(form.scales.to_dense()[0])
            steps = [scale * int(number - form.zeros[0]) for number in ints]
            return sorted(steps) if len(steps) <= MAX_LEVELS else None
        case Hashed() if form.buckets.shape[0] <= MAX_LEVELS:
            return sorted(float(value) for value in form.buckets.to_dense())
        case _:
            return None


def entropy_bits(form: Form) -> float | None:
    """Return the zero-order entropy of the integers and positions that a form stores, in bits.

    That is what a coder needs that knows their frequencies and nothing else. None where a form
    stores floats only.
    """
    match form:
        case Sparse():
            area = form.block[0] * form.block[1]
            blocks = size_of(form.dense_shape) // area
            filled = form.positions.size
            positions = _entropy(np.array([filled, blocks - filled]))
            values = entropy_bits(form.values)
            return positions + (values or 0.0)
        case Codebook():
            return _entropy(np.bincount(form.indices.reshape(-1)))
        case Linear():
            lowest = int(form.ints.min()) if form.ints.size else 0
            shifted = (form.ints.reshape(-1).astype(np.int32) - lowest).astype(np.uint16)
            return _entropy(np.bincount(shifted))
        case Product():
            return _entropy(np.bincount(form.codes.reshape(-1)))
        case Hashed():
            return entropy_bits(form.buckets)
        case _:
            return None


def _entropy(counts: NDArray[Any]) -> float:
    counts = counts[counts > 0].astype(np.float64)
    return float((counts * np.log2(counts.sum() / counts)).sum()) if counts.size else 0.0


def weight_map(values: FloatArray, side: int) -> dict[str, Any] | None:
    """Return a picture of a weight matrix, rows being outputs: of at most `side` x `side` cells.

    Where a part of the weights is zero, a cell is as dark as it is full ("density"); elsewhere as
    its mean magnitude, against that of the darkest cells ("magnitude"). None for empty matrices.
    """
    if values.ndim < 2 or not values.size:
        return None
    matrix = values.reshape(values.shape[0], -1)
    zeros = matrix.size - int(np.count_nonzero(matrix))
    sparse = zeros > matrix.size // 100
    cells = _cells(matrix, side, sparse)
    if sparse:
        shades = cells
    else:
        top = float(np.quantile(cells, 0.99)) if np.isfinite(cells).all() else 0.0
        shades = cells / top if top > 0 else np.zeros_like(cells)
    steps = np.ceil(np.clip(shades, 0, 1) * (_SHADES - 1) - 1e-9).astype(np.uint8)
    return {
        "shows": "density" if sparse else "magnitude",
        "width": steps.shape[1],
        "height": steps.shape[0],
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "png": base64.b64encode(_png(steps)).decode(),
    }


def _cells(matrix: FloatArray, side: int, sparse: bool) -> NDArray[np.float64]:
    """Return the mean over each cell: of the weights that are not zero, or of magnitudes."""
    rows, columns = matrix.shape
    height, width = min(rows, side), min(columns, side)
    row_starts = np.arange(height) * rows // height
    column_starts = np.arange(width) * columns // width
    sums = np.zeros((height, width))
    # Some rows at a time, so that no second array of the tensor's size is needed.
    step = max(1, _BLOCK // columns)
    of_row = np.searchsorted(row_starts, np.arange(rows), side="right") - 1
    for start in range(0, rows, step):
        part = matrix[start : start + step]
        dense = (part != 0).astype(np.float32) if sparse else np.abs(part)
        np.add.at(
            sums,
            of_row[start : start + step],
            np.add.reduceat(dense, column_starts, axis=1, dtype=np.float64),
        )
    area = np.outer(np.diff([*row_starts, rows]), np.diff([*column_starts, columns]))
    return np.asarray(sums / area)


def _png(steps: NDArray[np.uint8]) -> bytes:
    """Return a PNG of one colour in 16 opacities, four bits a cell: it fits any ground."""
    height, width = steps.shape
    padded = np.zeros((height, width + width % 2), np.uint8)
    padded[:, :width] = steps
    packed = padded[:, ::2] << 4 | padded[:, 1::2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), packed], axis=1)
    # A blue that stands out from white and from black.
    palette = bytes((36, 129, 205)) * _SHADES
    opacities = bytes(round(255 * (step / (_SHADES - 1)) ** 0.8) for step in range(_SHADES))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),
            (b"PLTE", palette),
            (b"tRNS", opacities),
            (b"IDAT", zlib.compress(lines.tobytes(), 9)),
            (b"IEND", b""),
        )
    )
