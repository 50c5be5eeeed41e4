"""Weight sharing by scalar k-means: every weight becomes the nearest of k centroids.

S. Han, H. Mao, W. Dally, "Deep Compression", 2016, section 3: one codebook for each layer,
equation 2 minimised, centroids initialised at random (Forgy), by density or linearly (section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel import _kmeans
from cmodel.compress.matrix import from_rows
from cmodel.compress.options import check_bool, check_choice, check_int
from cmodel.compress.registry import GRAM_AND_SENSITIVITY, NOTHING, Needs, Outcome, Task, method
from cmodel.compress.values import stored_values, with_stored_values
from cmodel.errors import RecipeError
from cmodel.tensors import Codebook, Dense, FloatArray, Sparse

# Indices that are looked at at a time.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Options:
    """How the codebook is found.

    k : number of centroids, 1 to 65,536; fewer are kept where there are fewer distinct weights.
    init : "linear" (evenly between minimum and maximum), "density" (evenly over the cumulative
        distribution), "random" (k of the weights), or "exact" (the optimum, without iterations).
    iterations : most Lloyd iterations.
    weighted : whether a weight counts as much as an error of it changes the net's output: by the
        Fisher information's diagonal, sensitivity of its output * energy of its input (Y. Choi,
        M. El-Khamy, J. Lee, "Towards the Limit of Network Quantization", 2017, equation 10).
    """

    k: int = 32
    init: str = "linear"
    iterations: int = 100
    weighted: bool = False

    def __post_init__(self) -> None:
        check_int("k", self.k, 1, 65536)
        check_choice("init", self.init, ("linear", "density", "random", "exact"))
        check_int("iterations", self.iterations, 1, 10000)
        check_bool("weighted", self.weighted)
        if self.weighted and self.init == "exact":
            raise ValueError('the optimum is not found with weights: init is another than "exact"')


def _needs(options: Options) -> Needs:
    return GRAM_AND_SENSITIVITY if options.weighted else NOTHING


@method("quantize.kmeans", Options, needs=_needs)
def quantize_kmeans(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, the stored values of a Sparse one, or the buckets of a hash."""
    values = stored_values(task.form, task.name, "quantize.kmeans")
    if not values.size:
        return Outcome(task.form)
    importance = _importance(task, values) if task.options.weighted else None
    codebook, iterations = cluster(values, task.options, task.rng, importance)
    facts = {"entries": codebook.entries, "iterations": iterations}
    return Outcome(with_stored_values(task.form, codebook), facts)


def cluster(
    values: FloatArray,
    options: Options,
    rng: np.random.Generator,
    importance: FloatArray | None = None,
) -> tuple[Codebook, int]:
    """Return the codebook of `values` (any shape, at least one) and the number of iterations.

    importance : of each value, not negative, of the same shape; None where all count alike.
    """
    flat = None if importance is None else importance.reshape(-1)
    centroids, iterations = _centroids(values.reshape(-1), options, rng, flat)
    indices: NDArray[Any] = _kmeans.assign(values.reshape(-1), centroids)
    # A centroid that nothing is nearest to would only cost bytes.
    used = _used(indices, centroids.size)
    if not used.all():
        centroids = centroids[used]
        _renumber(indices, np.cumsum(used) - 1)
        indices = indices.astype(np.uint8 if centroids.size <= 256 else np.uint16, copy=False)
    return Codebook(Dense(centroids[None]), indices.reshape(values.shape)), iterations


def _importance(task: Task[Options], values: FloatArray) -> FloatArray:
    """Return how much the output minds errors of each of the values, in their shape."""
    inputs, form = task.inputs, task.form
    if inputs.sensitivity is None:
        raise AssertionError(f"`{task.name}` came without its sensitivity")
    energy = np.einsum("gkk->gk", inputs.gram)[:, None]
    counts = inputs.sensitivity.reshape(len(energy), -1, 1) * energy
    level = float(counts.max())
    dense = from_rows(task.layer, counts / (level or 1.0), task.form.shape)
    if isinstance(form, Dense):
        return dense
    if isinstance(form, Sparse) and form.block == (1, 1):
        return dense.reshape(-1)[form.positions].reshape(values.shape)
    raise RecipeError(
        f"`quantize.kmeans`: the values of `{task.name}`, a {type(form).__name__}, are not single "
        "weights",
        hint="set weighted = false for this layer",
    )


def _centroids(
    values: FloatArray,
    options: Options,
    rng: np.random.Generator,
    importance: FloatArray | None,
) -> tuple[FloatArray, int]:
    """Return the different centroids in ascending order, and the number of iterations."""
    ordered = _kmeans.sort_float32(values)
    if importance is not None:
        order = np.argsort(values, kind="stable")
        start = initial_centroids(ordered, options, rng)
        centroids, iterations = weighted_lloyd(
            values[order], importance[order], start, options.iterations
        )
    elif options.init == "exact":
        centroids, iterations = _kmeans.exact(ordered, options.k), 0
    else:
        start = initial_centroids(ordered, options, rng)
        centroids, iterations = _kmeans.lloyd(ordered, start, options.iterations)
    # Adding +0 turns a centroid of -0 into +0; equal ones are one.
    return np.unique(centroids + np.float32(0)), iterations


def weighted_lloyd(
    ordered: FloatArray, importance: FloatArray, start: FloatArray, most: int
) -> tuple[FloatArray, int]:
    """Return centroids that minimise the weighted squared error, and the number of iterations.

    Parameters
    ----------
    ordered : values in ascending order; importance : what each counts, not negative.
    start : centroids in ascending order.
    """
    centres = start.astype(np.float64)
    mass = np.concatenate([[0.0], np.cumsum(importance, dtype=np.float64)])
    moment = np.concatenate([[0.0], np.cumsum(importance * ordered.astype(np.float64))])
    before: NDArray[np.intp] | None = None
    for number in range(most):
        inner = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        bounds = np.concatenate([[0], inner, [ordered.size]])
        if before is not None and (bounds == before).all():
            return centres.astype(np.float32), number
        before = bounds
        there = np.diff(mass[bounds])
        # One of which nothing counts stays where it is.
        np.divide(np.diff(moment[bounds]), there, out=centres, where=there > 0)
    return centres.astype(np.float32), most


def _used(indices: NDArray[Any], entries: int) -> NDArray[np.bool_]:
    """Return which of the entries there are."""
    # Block by block: NumPy counts and looks up with copies of eight bytes an index.
    used = np.zeros(entries, np.bool_)
    for start in range(0, indices.size, _BLOCK):
        used |= np.bincount(indices[start : start + _BLOCK], minlength=entries) > 0
        if used.all():
            break
    return used


def _renumber(indices: NDArray[Any], numbers: NDArray[Any]) -> None:
    """Put `numbers` in the place of the indices that stand for them."""
    table = numbers.astype(indices.dtype)
    for start in range(0, indices.size, _BLOCK):
        part = indices[start : start + _BLOCK]
        part[:] = table[part]


def initial_centroids(
    ordered: FloatArray, options: Options, rng: np.random.Generator
) -> FloatArray:
    """Return the start of the iterations: sorted, at most k (Deep Compression, section 3.2)."""
    k = min(options.k, ordered.size)
    if options.init == "linear":
        start = np.linspace(ordered[0], ordered[-1], k, dtype=np.float32)
    elif options.init == "density":
        # The middle of each of k parts of equal count.
        start = ordered[((np.arange(k) + 0.5) / k * ordered.size).astype(np.int64)]
    else:
        start = ordered[np.sort(rng.choice(ordered.size, k, replace=False))]
    return np.unique(start)
