"""Quantization indices chosen for error and bits, each error fed to the columns that follow.

B. Hassibi, D. Stork 1993 (see `prune_obs`); E. Frantar et al., "GPTQ", 2023, section 3.3: with
U the upper Cholesky factor of the inverse Gram matrix, quantizing column j with the error e moves
the later columns by -e / U_jj * U_j, and adds (e / U_jj)^2 to the response error. To that the bits
of the index are added, times a price (P. Chou, T. Lookabaugh, R. Gray 1989: `quantize_uniform`).

With a trellis (`cmodel.tensors.trellis`) the path is found by the Viterbi algorithm, each survivor
with its own errors fed forward (R. Raheli, A. Polydoros, C. Tzou, "Per-Survivor Processing", 1995).
Without one the same search looks ahead: its states are the parities of the last three indices. It
may then take the columns in any order, and takes those of the largest inputs first.

Bits are those of an adaptive coder that knows how active a value's row and column are: histograms
of |index| for classes of (mean of the row) * (mean of the column).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel import _rdo
from cmodel.blas import limit_threads
from cmodel.compress.matrix import Doubles, damped
from cmodel.compress.supports import Supports
from cmodel.tensors import FloatArray
from cmodel.tensors.trellis import NEXT, QUANTIZER

Indices = NDArray[np.int16]

# The largest index.
TOP = 32767
# Columns that are looked at together, and those of them that a path is decided on later.
_BLOCK = 128
_OVERLAP = 16
_CLASSES = 8
# Levels of a class; a class is a factor of 2^(1/2) in activity.
_UNIT = 8
_PER_OCTAVE = 2 * _UNIT
# Largest |index| with code lengths of its own; weight of the whole tensor in a class's histogram,
# of the mean in a row's or column's.
_ENTRIES = 4096
_PRIOR = 16.0
_CHUNK = 1 << 20
# Rows that one thread multiplies at a time.
_ROWS = 512
# The parities of the last three indices, as bits, and of the next one.
_PARITIES = np.array([[2 * s % 8, 2 * s % 8 + 1] for s in range(8)], np.uint8)


@dataclass(frozen=True, eq=False)
class Factor:
    """What the feedback needs to know of a Gram matrix, for any step.

    upper : float32 (G, K, K), the Cholesky factor U of the inverse, inverse = Uᵀ U.
    weights : float32 (G, K), 1 / the diagonal of U: its square is what an error of 1 costs. The
        Gram matrix is scaled so that the mean of that is 1.
    order : intp (K,), which column of the matrix the factor's columns are; None for the given one.
    scale : what the Cholesky factor was multiplied by.
    """

    upper: FloatArray
    weights: FloatArray
    order: NDArray[np.intp] | None = None
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Quantized:
    """indices : int16 (G, R, K); bits : their mean length in the ideal adaptive code."""

    indices: Indices
    bits: float


def factorize(gram: Doubles, damp: float, *, ordered: bool = False) -> Factor:
    """Return the factor of a Gram matrix (G, K, K), `damp` times its mean added to the diagonal.

    With `ordered` the columns of the largest inputs come first; a trellis cannot have that.
    """
    groups, size = gram.shape[:2]
    upper = np.empty((groups, size, size), np.float32)
    level = float(np.einsum("gkk->", gram)) / max(groups * size, 1)
    order = None
    if ordered:
        order = np.argsort(-np.einsum("gkk->k", gram), kind="stable")
    with limit_threads(1):
        for group in range(groups):
            # With the columns reversed, A = L Lᵀ turns into A = V Vᵀ with V upper: U = V⁻¹.
            backwards = np.arange(size)[::-1] if order is None else order[::-1]
            matrix = gram[group][np.ix_(backwards, backwards)] / (level or 1.0)
            if matrix.any():
                matrix = damped(matrix, damp)
            else:
                np.fill_diagonal(matrix, damp)
            lower = linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
            inverse, info = linalg.lapack.dtrtri(lower, lower=1, overwrite_c=1)
            if info:
                raise linalg.LinAlgError("a Gram matrix is singular")
            upper[group] = inverse[::-1, ::-1]
    weights = 1 / np.diagonal(upper, axis1=1, axis2=2).astype(np.float64)
    scale = np.sqrt(np.square(weights).mean()) if weights.size else 1.0
    upper *= np.float32(scale)
    return Factor(upper, (weights / scale).astype(np.float32), order, float(scale))


def quantize(
    rows: FloatArray,
    factor: Factor,
    steps: NDArray[np.floating],
    *,
    rate_weight: float,
    passes: int = 2,
    trellis: bool = False,
    supports: Supports | None = None,
    threads: int = 1,
) -> Quantized:
    """Return indices for rows (G, R, K) on grids of `steps`: one, or (G * R,) for the rows.

    A bit may cost `rate_weight` times the error of one step in a mean column. The value of an index
    k is step * k; with a trellis step / 2 * v(k), see `cmodel.tensors.trellis`. What `supports` do
    not keep gets the index 0. Code lengths are measured anew before each pass.
    """
    groups, height, _ = rows.shape
    if not rows.size:
        return Quantized(np.zeros(rows.shape, np.int16), 0.0)
    keep = None
    if supports is not None:
        rows, keep = supports.project(rows), supports.keep
    if factor.order is not None:
        if trellis:
            raise ValueError("a trellis takes the columns in their order")
        rows = rows.take(factor.order, axis=2)
        keep = None if keep is None else keep.take(factor.order, axis=2)
    units = (1 / np.asarray(steps, np.float64)).astype(np.float32)
    units = np.broadcast_to(units, (groups * height,)).reshape(groups, height, 1)
    if trellis:
        units = 2 * units
    table = (NEXT, QUANTIZER) if trellis else (_PARITIES, np.zeros_like(QUANTIZER))
    price = rate_weight * (4 if trellis else 1)
    indices = np.zeros(rows.shape, np.int16)
    for number in range(passes):
        values = rows * units
        if number == 0:
            np.rint(values / (2 if trellis else 1), out=values).clip(-TOP, TOP, out=values)
            indices[...] = values
            if keep is not None:
                indices *= keep
            values = rows * units
        code = _Code(indices, trellis and number > 0)
        costs = (price * code.lengths).astype(np.float32)
        indices = _search(values, factor, costs, code, table, supports, threads)
    bits = _Code(indices, trellis).bits
    if factor.order is not None:
        indices = indices.take(np.argsort(factor.order), axis=2)
    return Quantized(indices, bits)


def _search(
    values: FloatArray,
    factor: Factor,
    costs: FloatArray,
    code: _Code,
    table: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    supports: Supports | None,
    threads: int,
) -> Indices:
    """Return the indices of values (G, R, K); with supports, each row's by a factor of its own."""
    block, overlap = min(_BLOCK, values.shape[2]), min(_OVERLAP, values.shape[2] - 1)
    given = code.row_levels, code.column_levels, table
    if supports is None:
        matrices = factor.upper, factor.weights, costs
        with limit_threads(1):
            return _rdo.quantize(values, *matrices, *given, None, block, overlap, threads)

    def one(row: int, values: FloatArray, upper: FloatArray, weights: FloatArray) -> Indices:
        levels = code.row_levels[row : row + 1], code.column_levels
        kept = (weights != 0).astype(np.uint8)[None]
        return _rdo.quantize(values, upper, weights, costs, *levels, table, kept, block, overlap)

    return supports.search(values, factor.order, one, threads)


def path_quantizers(indices: Indices) -> NDArray[np.uint8]:
    """Return the quantizer (0 or 1) that each index of rows (N, K) of a trellis belongs to."""
    state = np.zeros(len(indices), np.intp)
    quantizers = np.empty(indices.shape, np.uint8)
    for column, ks in enumerate(indices.T):
        quantizers[:, column] = QUANTIZER[state]
        state = NEXT[state, ks & 1].astype(np.intp)
    return quantizers


class _Code:
    """The adaptive code for indices (G, R, K).

    lengths : float64 (classes, 2, entries), of |k| in bits, sign included.
    row_levels, column_levels : int32; see `_rdo.quantize`.
    bits : mean length of the indices themselves.
    """

    def __init__(self, indices: Indices, trellis: bool) -> None:
        matrix = indices.reshape(-1, indices.shape[2])
        sums_row, sums_column = np.empty(matrix.shape[0]), np.zeros(matrix.shape[1])
        step = max(1, _CHUNK // matrix.shape[1])
        parts = [slice(at, at + step) for at in range(0, len(matrix), step)]
        top = 0
        for part in parts:
            sizes = np.abs(matrix[part])
            top = max(top, int(sizes.max()))
            sums_row[part] = sizes.sum(axis=1, dtype=np.float64)
            sums_column += sizes.sum(axis=0, dtype=np.float64)
        entries = min(top + 3, _ENTRIES)
        self.row_levels = _levels(sums_row, matrix.shape[1])
        self.column_levels = _levels(sums_column, matrix.shape[0])
        # The middle class is that of mean activity.
        self.row_levels += _UNIT * _CLASSES // 2
        counts = np.zeros((_CLASSES, 2, entries))
        for part in parts:
            sizes = np.minimum(np.abs(matrix[part]), entries - 1).astype(np.intp)
            classes = (self.row_levels[part, None] + self.column_levels) >> 3
            place = np.clip(classes, 0, _CLASSES - 1) * 2
            if trellis:
                place += path_quantizers(matrix[part])
            place = place * entries + sizes
            counts += np.bincount(place.reshape(-1), minlength=counts.size).reshape(counts.shape)
        if not trellis:
            counts[:, 1] = counts[:, 0]
        overall = counts.sum(axis=0) + 0.5 / entries
        overall /= overall.sum(axis=1, keepdims=True)
        smooth = counts + _PRIOR * overall
        self.lengths = -np.log2(smooth / smooth.sum(axis=2, keepdims=True))
        self.lengths[:, :, 1:] += 1
        used = counts if trellis else counts[:, :1]
        self.bits = float((used * self.lengths[:, : used.shape[1]]).sum()) / matrix.size


def _levels(sums: Doubles, count: int) -> NDArray[np.int32]:
    """Return how active rows or columns are, against their mean, on a logarithmic scale."""
    mean = sums.mean()
    if not mean:
        return np.zeros(sums.shape, np.int32)
    share = (sums / mean * count + _PRIOR) / (count + _PRIOR)
    levels: NDArray[np.int32] = np.rint(_PER_OCTAVE * np.log2(share)).astype(np.int32)
    return levels


def fit_scales(
    rows: FloatArray,
    values: NDArray[np.generic],
    gram: Doubles,
    each_row: bool,
    threads: int = 1,
) -> tuple[Doubles, float]:
    """Return the factors that bring values (G, R, K) nearest to rows in the responses.

    One, or with `each_row` (G * R,); and the relative response error with them. A factor is 1 where
    the values have no response.
    """
    groups, height, width = rows.shape
    moments = np.zeros((3, groups, height))
    level = float(np.einsum("gkk->", gram)) / max(groups * width, 1) or 1.0

    def add(group: int, part: slice, matrix: FloatArray) -> None:
        wanted, given = rows[group, part], values[group, part].astype(np.float32)
        response = given @ matrix
        pairs = (wanted, response), (given, response), (wanted, wanted @ matrix)
        for sums, (left, right) in zip(moments[:, group, part], pairs, strict=True):
            sums += np.einsum("rk,rk->r", left, right, dtype=np.float64)

    parts = [slice(at, at + _ROWS) for at in range(0, height, _ROWS)]
    with limit_threads(1), ThreadPoolExecutor(threads) as pool:
        for group in range(groups):
            matrix = (gram[group] / level).astype(np.float32)
            for _ in pool.map(add, repeat(group), parts, repeat(matrix)):
                pass
    cross, own, energy = moments.reshape(3, -1)
    if not each_row:
        cross, own = cross.sum(keepdims=True), own.sum(keepdims=True)
    factors = np.divide(cross, own, out=np.ones_like(own), where=(own > 0) & (cross > 0))
    left_over = energy.sum() + float((factors * (factors * own - 2 * cross)).sum())
    error = (max(left_over, 0.0) / energy.sum()) ** 0.5 if energy.sum() > 0 else 0.0
    return factors, float(error)
