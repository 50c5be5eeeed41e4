"""Error feedback for rows that have weights in some columns only, each in columns of its own.

What the columns of a row without weights cannot take must not be fed to them: the factor of a row
is that of its own columns' part of the Gram matrix (`cmodel.compress.feedback` for the others).
With it the last weights of a row make up for the first ones as well as they can.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.blas import limit_threads
from cmodel.compress.matrix import Doubles, damped
from cmodel.tensors import FloatArray

Flags = NDArray[np.bool_]
# Returns the indices (1, 1, K) of a row by its number, its values (1, 1, K), and its factor
# (1, K, K) and weights (1, K), which are 0 in columns that are not kept.
Search = Callable[[int, FloatArray, FloatArray, FloatArray], NDArray[np.int16]]
# Rows that share a buffer.
_ROWS = 64


@dataclass(frozen=True, eq=False)
class Supports:
    """What is needed to factorize the part of a row.

    matrices : float64 (G, K, K), Gram matrices with their damping, scaled as `factorize` does.
    scale : of the factors, that of the whole matrices: a bit costs the same in all rows.
    keep : bool (G, R, K), which weights may be other than zero.
    """

    matrices: Doubles
    scale: float
    keep: Flags

    @classmethod
    def of(cls, gram: Doubles, damp: float, keep: Flags, scale: float) -> Supports:
        """Return the supports of rows of a Gram matrix (G, K, K)."""
        groups, size, _ = gram.shape
        level = float(np.einsum("gkk->", gram)) / max(groups * size, 1) or 1.0
        matrices = np.empty_like(gram)
        for group in range(groups):
            used = gram[group].any()
            matrices[group] = damped(gram[group] / level, damp) if used else damp * np.eye(size)
        return cls(matrices, scale, keep)

    def project(self, rows: FloatArray) -> FloatArray:
        """Return rows (G, R, K) without what is not kept, the responses as near as can be."""
        lost = (rows != 0) & ~self.keep
        found = np.where(self.keep, rows, np.float32(0))
        for group, row in np.argwhere(lost.any(axis=2)):
            kept = np.flatnonzero(self.keep[group, row])
            if not kept.size:
                continue
            matrix = self.matrices[group]
            response = matrix[kept] @ rows[group, row].astype(np.float64)
            part = matrix[np.ix_(kept, kept)]
            found[group, row, kept] = linalg.solve(part, response, assume_a="pos")
        return found

    def search(
        self,
        values: FloatArray,
        order: NDArray[np.intp] | None,
        search: Search,
        threads: int,
    ) -> NDArray[np.int16]:
        """Return the indices that `search` finds for values (G, R, K), given in `order`."""
        groups, height, width = values.shape
        places = np.arange(width) if order is None else order
        result = np.zeros(values.shape, np.int16)

        def some(first: int) -> None:
            upper, weights = (
                np.zeros((1, width, width), np.float32),
                np.zeros((1, width), np.float32),
            )
            for number in range(first, min(first + _ROWS, groups * height)):
                group, row = divmod(number, height)
                kept = np.flatnonzero(self.keep[group, row][places])
                if not kept.size:
                    continue
                block = np.ix_(kept, kept)
                factor = self._factor(group, places[kept])
                upper[0][block] = factor
                weights[0, kept] = 1 / np.diagonal(factor)
                result[group, row] = search(
                    number, values[group, row].reshape(1, 1, -1).copy(), upper, weights
                )
                upper[0][block], weights[0, kept] = 0, 0

        with limit_threads(1), ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(some, range(0, groups * height, _ROWS)):
                pass
        return result

    def _factor(self, group: int, columns: NDArray[np.intp]) -> Doubles:
        """Return U of the inverse's Uᵀ U, see `feedback.factorize`."""
        backwards = columns[::-1]
        part = self.matrices[group][np.ix_(backwards, backwards)]
        lower = linalg.cholesky(part, lower=True, overwrite_a=True, check_finite=False)
        inverse, info = linalg.lapack.dtrtri(lower, lower=1, overwrite_c=1)
        if info:
            raise linalg.LinAlgError("a Gram matrix is singular")
        factor: Doubles = inverse[::-1, ::-1] * self.scale
        return factor
