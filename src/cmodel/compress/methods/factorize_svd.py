"""Low rank: one layer becomes two, by the singular value decomposition of its weights.

E. Denton, W. Zaremba, J. Bruna, Y. LeCun, R. Fergus, "Exploiting Linear Structure Within
Convolutional Networks for Efficient Evaluation", 2014, section 3.2: W ~ U S Vᵀ truncated to its
largest singular values, the best approximation of that rank in the Frobenius norm. Data-weighted
it is the best in the responses, |(W - W') x|: section 3.1's data covariance distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress.matrix import Doubles, damped, to_rows
from cmodel.compress.options import check_bool, check_int, check_number
from cmodel.compress.registry import GRAM, NOTHING, Facts, Needs, RewriteTask, Rewritten, rewrite
from cmodel.compress.surgery import plain_weights, replace_layer, two_layers
from cmodel.errors import RecipeError
from cmodel.tensors import FloatArray

# Beyond this many elements the decomposition is randomised.
EXACT_SIZE = 1 << 20
OVERSAMPLES = 10


@dataclass(frozen=True)
class Options:
    """How the rank is chosen: by one of the four, `energy` = 0.9 where none is given.

    rank : the rank itself, for each group.
    energy : the smallest rank that keeps this fraction of the sum of squared singular values (the
        randomised decomposition of a large matrix keeps a little less).
    error : the smallest rank whose relative error |W - W'| / |W| is at most this.
    ratio : the largest rank whose two layers have at most this fraction of the weights.
    weighted : minimise the error of the responses over the calibration images, not of the weights.
    damp : with `weighted`, this times the mean input energy is added to that of every input.
    """

    rank: int | None = None
    energy: float | None = None
    error: float | None = None
    ratio: float | None = None
    weighted: bool = False
    damp: float = 0.01

    def __post_init__(self) -> None:
        given = [
            name for name in ("rank", "energy", "error", "ratio") if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        if self.rank is not None:
            check_int("rank", self.rank, 1, 1 << 20)
        for name in ("energy", "error", "ratio"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, 1)
        check_bool("weighted", self.weighted)
        check_number("damp", self.damp, 0, 1)


def _needs(options: Options) -> Needs:
    return GRAM if options.weighted else NOTHING


@rewrite("factorize.svd", Options, needs=_needs)
def factorize_svd(task: RewriteTask[Options]) -> Rewritten:
    """Replace each layer by `<name>_v`, without bias, and `<name>_u`.

    A layer whose two would not have fewer weights stays as it is, unless its rank is stated.
    """
    facts: dict[str, Facts] = {}
    for target in task.targets:
        layer, options = target.layer, task.options[target.name]
        weights, bias = plain_weights(task.net, target, "factorize.svd")
        rows = to_rows(layer, weights)
        roots = None
        statistics = task.statistics.get(target.name)
        if statistics is not None:
            # With A = C Cᵀ the response error |D A^(1/2)| is the plain error of D C.
            roots = np.linalg.cholesky(damped(statistics.gram, options.damp))
        scaled = rows if roots is None else (rows @ roots).astype(np.float32)
        rank = rank_for(scaled, options)
        groups, height, width = rows.shape
        if options.rank is None and groups * rank * (height + width) >= rows.size:
            facts[target.name] = {"rank": rank, "kept": "two layers would not be smaller"}
            continue
        last, first, energy = factors(scaled, rank, task.rng)
        if roots is not None:
            first = _unscaled(first, roots)
        facts[target.name] = {"rank": rank, "energy": energy}
        replace_layer(task.net, layer.key, two_layers(layer, weights.shape, first, last, bias))
    return Rewritten(task.net, facts)


def rank_for(rows: FloatArray, options: Options) -> int:
    """Return the rank that the options ask for, the largest over the groups (G, R, K).

    Raises
    ------
    RecipeError : a stated rank is beyond that of the matrices.
    """
    height, width = rows.shape[1:]
    if options.rank is not None:
        if options.rank > min(height, width):
            raise RecipeError(
                f"rank {options.rank} is beyond the {min(height, width)} of a matrix of "
                f"{height} x {width}"
            )
        return options.rank
    if options.ratio is not None:
        return max(int(options.ratio * height * width / (height + width)), 1)
    lost = options.error**2 if options.error is not None else 1 - (options.energy or 0.9)
    return max(_cut(_squares(matrix), lost) for matrix in rows)


def _squares(matrix: FloatArray) -> Doubles:
    """Return the squared singular values in descending order."""
    if matrix.size <= EXACT_SIZE:
        values: Doubles = linalg.svdvals(matrix.astype(np.float64))
        return np.square(values)
    small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    gram = (small @ small.T).astype(np.float64)
    ascending = np.asarray(linalg.eigvalsh(gram, overwrite_a=True), np.float64)
    return np.maximum(ascending[::-1], 0)


def _cut(squares: Doubles, lost: float) -> int:
    """Return the smallest rank that loses at most this fraction of the energy."""
    kept = np.cumsum(squares)
    # Rounding must not ask for more than there is.
    wanted = kept[-1] * (1 - lost) * (1 - 1e-12)
    return min(int(np.searchsorted(kept, wanted)) + 1, squares.size)


def factors(
    rows: FloatArray, rank: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, float]:
    """Return last (G, R, rank) and first (G, rank, K), and the fraction of the energy they keep."""
    parts = [_decompose(matrix, rank, rng) for matrix in rows]
    last = np.stack([u * np.sqrt(s) for u, s, _ in parts]).astype(np.float32)
    first = np.stack([np.sqrt(s)[:, None] * v for _, s, v in parts]).astype(np.float32)
    kept = sum(float(np.square(s, dtype=np.float64).sum()) for _, s, _ in parts)
    total = float(np.linalg.norm(rows)) ** 2
    return last, first, min(kept / total, 1.0) if total else 1.0


def _decompose(
    matrix: FloatArray, rank: int, rng: np.random.Generator
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    if matrix.size <= EXACT_SIZE:
        u, s, v = linalg.svd(matrix.astype(np.float64), full_matrices=False)
        return u[:, :rank], s[:rank], v[:rank]
    from sklearn.utils.extmath import randomized_svd

    u, s, v = randomized_svd(
        matrix,
        rank,
        n_oversamples=OVERSAMPLES,
        n_iter=2,
        # Without it float32 loses the small singular values in the powers.
        power_iteration_normalizer="LU",
        random_state=int(rng.integers(1 << 31)),
    )
    return u, s, v


def _unscaled(first: FloatArray, roots: NDArray[np.floating]) -> FloatArray:
    """Return first @ roots^-1 for each group."""
    solved = [
        linalg.solve_triangular(root, matrix.T, lower=True, trans="T").T
        for root, matrix in zip(roots, first.astype(np.float64), strict=True)
    ]
    return np.stack(solved).astype(np.float32)
