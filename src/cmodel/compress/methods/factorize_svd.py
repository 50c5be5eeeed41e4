"""Low rank: one layer becomes two, by the singular value decomposition of its weights.

E. Denton, W. Zaremba, J. Bruna, Y. LeCun, R. Fergus, "Exploiting Linear Structure Within
Convolutional Networks for Efficient Evaluation", 2014, section 3.2: W ~ U S Vᵀ truncated to its
largest singular values, the best approximation of that rank in the Frobenius norm. Data-weighted
it is the best in the responses, |(W - W') x|: section 3.1's data covariance distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress.matrix import Doubles, damped, to_rows
from cmodel.compress.options import check_bool, check_int, check_number
from cmodel.compress.registry import GRAM, NOTHING, Needs, RewriteTask, Rewritten, rewrite
from cmodel.compress.statistics import Statistics
from cmodel.compress.surgery import plain_weights, replace_layer, two_layers
from cmodel.errors import RecipeError

# Beyond this many elements the decomposition is randomised.
EXACT_SIZE = 4 << 20
OVERSAMPLES = 10


@dataclass(frozen=True)
class Options:
    """How the rank is chosen: by one of the four, `energy` = 0.9 where none is given.

    rank : the rank itself, for each group.
    energy : the smallest rank that keeps this fraction of the sum of squared singular values.
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
    facts = {}
    for target in task.targets:
        layer, options = target.layer, task.options[target.name]
        weights, bias = plain_weights(task.net, target, "factorize.svd")
        rows = to_rows(layer, weights)
        last, first, found = factors(rows, options, task.statistics.get(target.name), task.rng)
        facts[target.name] = found
        smaller = first.size + last.size < rows.size
        if options.rank is None and not smaller:
            facts[target.name] = {**found, "kept": "two layers would not be smaller"}
            continue
        replace_layer(task.net, layer.key, two_layers(layer, weights.shape, first, last, bias))
    return Rewritten(task.net, facts)


def factors(
    rows: NDArray[np.float32],
    options: Options,
    statistics: Statistics | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, Any]]:
    """Return last (G, R, rank) and first (G, rank, K) with ``last @ first ~ rows`` and facts."""
    height, width = rows.shape[1:]
    roots = None
    scaled = rows
    if statistics is not None:
        # With A = C Cᵀ the response error |D A^(1/2)| is the plain error of D C.
        roots = np.linalg.cholesky(damped(statistics.gram, options.damp))
        scaled = (rows @ roots).astype(np.float32)
    limit = min(height, width)
    if options.rank is not None and options.rank > limit:
        raise RecipeError(
            f"rank {options.rank} is beyond the {limit} of a matrix of {height} x {width}"
        )
    parts = [_decompose(matrix, options, rng) for matrix in scaled]
    rank = max(_rank(part[1], part[3], options, height, width) for part in parts)
    # One group may have been cut off earlier than another one needs.
    parts = [
        part if part[1].size >= rank else _decompose(matrix, Options(rank), rng)
        for part, matrix in zip(parts, scaled, strict=True)
    ]
    last = np.stack([u[:, :rank] * np.sqrt(s[:rank]) for u, s, _, _ in parts])
    first = np.stack([np.sqrt(s[:rank])[:, None] * v[:rank] for _, s, v, _ in parts])
    if roots is not None:
        first = np.stack(
            [
                linalg.solve_triangular(root, matrix.T, lower=True, trans="T").T
                for root, matrix in zip(roots, first.astype(np.float64), strict=True)
            ]
        )
    kept = sum(float(np.square(s[:rank]).sum(dtype=np.float64)) for _, s, _, _ in parts)
    energy = kept / max(sum(part[3] for part in parts), np.finfo(np.float64).tiny)
    facts = {"rank": rank, "energy": min(energy, 1.0)}
    return last.astype(np.float32), first.astype(np.float32), facts


Part = tuple[Doubles | NDArray[np.float32], NDArray[np.floating], NDArray[np.floating], float]


def _decompose(matrix: NDArray[np.float32], options: Options, rng: np.random.Generator) -> Part:
    """Return u, s, v and the sum of all squared singular values; s may be cut off."""
    energy = float(np.square(matrix, dtype=np.float64).sum())
    if matrix.size <= EXACT_SIZE:
        u, s, v = linalg.svd(matrix.astype(np.float64), full_matrices=False)
        return u, s, v, energy
    from sklearn.utils.extmath import randomized_svd

    height, width = matrix.shape
    # A larger rank would not save anything.
    most = max(height * width // (height + width), 1)
    size = options.rank or min(most, 128)
    if options.ratio is not None:
        size = max(int(options.ratio * height * width / (height + width)), 1)
    while True:
        seed = int(rng.integers(1 << 31))
        u, s, v = randomized_svd(
            matrix,
            size,
            n_oversamples=OVERSAMPLES,
            n_iter=2,
            # Without it float32 loses the small singular values in the powers.
            power_iteration_normalizer="LU",
            random_state=seed,
        )
        enough = options.rank is not None or options.ratio is not None or size >= most
        if enough or _cut(s, energy, options) < size:
            return u, s, v, energy
        size = min(2 * size, most)


def _rank(s: NDArray[np.floating], energy: float, options: Options, height: int, width: int) -> int:
    if options.rank is not None:
        return options.rank
    if options.ratio is not None:
        return max(int(options.ratio * height * width / (height + width)), 1)
    return max(_cut(s, energy, options), 1)


def _cut(s: NDArray[np.floating], energy: float, options: Options) -> int:
    """Return the smallest rank that keeps enough, or all of `s` where none of them does."""
    lost = options.error**2 if options.error is not None else 1 - (options.energy or 0.9)
    kept = np.cumsum(np.square(s, dtype=np.float64))
    # Rounding must not ask for more than there is.
    wanted = energy * (1 - lost) * (1 - 1e-12)
    return min(int(np.searchsorted(kept, wanted)) + 1, s.size)
