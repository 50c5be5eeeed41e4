"""A dictionary that the inputs predict: W = V U, where U need not be learned.

M. Denil, B. Shakibi, L. Dinh, M. Ranzato, N. de Freitas, "Predicting Parameters in Deep Learning",
2013, section 3: a filter is a smooth function of its inputs; from its values at a few of them,
alpha, kernel ridge regression predicts the others, equation 2: U = (K_alpha + lambda I)^-1 k_alpha.
The kernel is the squared exponential of the distance of two pixels (section 4.1), or the covariance
of the inputs, here their second moment over the calibration images.

The paper learns V on top of U. For given weights it is the least-squares fit: in the responses
where the kernel is from data, else in the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress.matrix import Doubles, damped, to_rows
from cmodel.compress.options import check_choice, check_int, check_number
from cmodel.compress.registry import GRAM, NOTHING, Needs, RewriteTask, Rewritten, rewrite
from cmodel.compress.statistics import MAX_BYTES
from cmodel.compress.surgery import plain_weights, replace_layer, two_layers
from cmodel.compress.values import relative_error
from cmodel.errors import LimitError, RecipeError
from cmodel.net import Layer, Net, Shape, infer_shapes


@dataclass(frozen=True)
class Options:
    """How many inputs predict the others, and by what.

    rank : their number; or
    ratio : fraction of the weights that the two layers may have; 0.5 where neither is given.
    kernel : "data", or "smooth" for the squared exponential, between pixels of one channel.
    width : of the squared exponential, in pixels.
    choose : the inputs one by one, each where the others predict the "worst", or at "random".
    ridge : lambda, times the mean of the kernel's diagonal.
    """

    rank: int | None = None
    ratio: float | None = None
    kernel: str = "data"
    width: float = 1.0
    choose: str = "worst"
    ridge: float = 0.01

    def __post_init__(self) -> None:
        if self.rank is not None and self.ratio is not None:
            raise ValueError("rank and ratio exclude each other")
        if self.rank is not None:
            check_int("rank", self.rank, 1, 1 << 20)
        if self.ratio is not None:
            check_number("ratio", self.ratio, 0, 1)
        check_choice("kernel", self.kernel, ("data", "smooth"))
        check_number("width", self.width, 0, 1000)
        check_choice("choose", self.choose, ("worst", "random"))
        check_number("ridge", self.ridge, 0, 1)


def _needs(options: Options) -> Needs:
    return GRAM if options.kernel == "data" else NOTHING


@rewrite("factorize.dictionary", Options, needs=_needs)
def factorize_dictionary(task: RewriteTask[Options]) -> Rewritten:
    """Replace each layer by `<name>_v`, the dictionary, and `<name>_u`."""
    facts = {}
    for target in task.targets:
        options = task.options[target.name]
        weights, bias = plain_weights(task.net, target, "factorize.dictionary")
        rows = to_rows(task.net.layer(target.layer.key), weights).astype(np.float64)
        statistics = task.statistics.get(target.name)
        rank = _rank(options, rows.shape, target.name)
        firsts, lasts = [], []
        for group, matrix in enumerate(rows):
            if statistics is None:
                kernel = _smooth(task.net, target.layer, weights.shape, options.width, target.name)
            else:
                kernel = damped(statistics.gram[group], 1e-6)
            chosen = _chosen(kernel, rank, options.choose, task.rng)
            level = options.ridge * float(np.trace(kernel)) / len(kernel)
            square = kernel[np.ix_(chosen, chosen)] + level * np.eye(rank)
            dictionary = linalg.solve(square, kernel[chosen], assume_a="pos")
            weighed = dictionary if statistics is None else dictionary @ kernel
            moments = weighed @ dictionary.T
            moments += 1e-9 * np.trace(moments) / rank * np.eye(rank)
            fitted = linalg.solve(moments, weighed @ matrix.T, assume_a="pos").T
            firsts.append(dictionary)
            lasts.append(fitted)
        first, last = np.stack(firsts), np.stack(lasts)
        approximation = (last @ first).astype(np.float32)
        facts[target.name] = {
            "rank": rank,
            "error": relative_error(approximation, rows.astype(np.float32)),
        }
        new = two_layers(
            target.layer, weights.shape, first.astype(np.float32), last.astype(np.float32), bias
        )
        replace_layer(task.net, target.layer.key, new)
    return Rewritten(task.net, facts)


def _rank(options: Options, shape: Shape, name: str) -> int:
    _, height, width = shape
    if options.rank is not None:
        if options.rank > width:
            raise RecipeError(f"rank {options.rank} is beyond the {width} inputs of `{name}`")
        return options.rank
    return min(max(int((options.ratio or 0.5) * height * width / (height + width)), 1), width)


def _smooth(net: Net, layer: Layer, shape: Shape, width: float, name: str) -> Doubles:
    """Return the squared exponential of the distances of a layer's inputs (K, K)."""
    if layer.type == "InnerProduct":
        bottom = infer_shapes(net).blobs[layer.bottoms[0]] or ()
        grid = bottom[layer.param.inner_product_param.axis :]
    else:
        grid = shape[1:]
    if len(grid) < 2 or max(grid[1:]) == 1:
        raise RecipeError(
            f"the inputs of `{name}` are not neighbours of each other: nothing is smooth",
            hint='kernel = "data" takes their relations from images',
        )
    if prod(grid) ** 2 * 8 > MAX_BYTES:
        raise LimitError(
            f"`{name}` has {prod(grid):,} inputs: their kernel would take "
            f"{prod(grid) ** 2 * 8 / 1e9:,.1f} GB",
            hint="use `factorize.svd` for this layer",
        )
    kernel = np.eye(grid[0])
    for size in grid[1:]:
        distance = np.arange(size)[:, None] - np.arange(size)
        kernel = np.kron(kernel, np.exp(-np.square(distance) / (2 * width**2)))
    return kernel


def _chosen(kernel: Doubles, rank: int, how: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the inputs to predict from, in ascending order."""
    if how == "random":
        return np.sort(rng.choice(len(kernel), rank, replace=False))
    # Pivoted Cholesky: what is left of the diagonal is the variance that the chosen leave open.
    left = kernel.diagonal().copy()
    columns = np.zeros((rank, len(kernel)))
    chosen: list[int] = []
    for i in range(rank):
        left[chosen] = -np.inf
        pivot = int(left.argmax())
        chosen.append(pivot)
        if left[pivot] > 0:
            column = kernel[pivot] - columns[:i, pivot] @ columns[:i]
            columns[i] = column / np.sqrt(left[pivot])
            left = left - np.square(columns[i])
    return np.sort(np.array(chosen))
