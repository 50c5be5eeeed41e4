"""Convolutions in smaller steps: a chain of cheaper convolutions takes the place of one.

- "spatial": M. Jaderberg, A. Vedaldi, A. Zisserman, "Speeding up Convolutional Neural Networks with
  Low Rank Expansions", 2014, section 2.2 (scheme 2): a kh x 1 convolution to `rank` channels, then
  1 x kw: W_ncyx ~ sum_r h_nrx v_rcy, a singular value decomposition of the (cy) x (nx) matrix.
- "tucker": Y. Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power
  Mobile Applications", 2016, section 3.1 (Tucker-2): 1 x 1, kh x kw, 1 x 1, by the higher-order
  singular value decomposition and orthogonal iterations.
- "cp": V. Lebedev et al., "Speeding-up Convolutional Neural Networks Using Fine-tuned
  CP-Decomposition", 2015, section 3: 1 x 1, kh x 1 and 1 x kw on each channel, 1 x 1:
  W_ncyx ~ sum_r a_nr b_cr u_yr v_xr, by alternating least squares.
- "monochromatic": E. Denton et al., "Exploiting Linear Structure Within Convolutional Networks for
  Efficient Evaluation", 2014, section 3.3.1: the input colours are mixed to `rank` new ones, each
  filter sees one of them: W_f ~ c_k(f) s_fᵀ, with the colours clustered over the filters.
- "biclustered": Denton et al. 2014, section 3.3.2: input channels and filters are put into clusters
  of equal size, and each pair of clusters has a low-rank chain of its own, here Tucker-2: 1 x 1
  from one cluster, kh x kw in groups, 1 x 1 to one cluster. The clusters are those of Euclidean
  k-means, where the paper's distance is one to subspaces.

With `weighted` the last convolution is fitted by least squares to the responses over the
calibration images (Denton 2014, section 3.1: the data covariance distance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress.biclustering import biclustered
from cmodel.compress.decompositions import Chain, cp, monochromatic, spatial, tucker
from cmodel.compress.matrix import Doubles, damped
from cmodel.compress.options import check_bool, check_choice, check_int, check_number
from cmodel.compress.registry import GRAM, NOTHING, Needs, RewriteTask, Rewritten, rewrite
from cmodel.compress.selectors import Target
from cmodel.compress.statistics import Statistics
from cmodel.compress.surgery import (
    NewLayer,
    copied,
    plain_weights,
    positive_zeros,
    replace_layer,
    set_window,
    with_bias,
)
from cmodel.compress.values import relative_error
from cmodel.errors import RecipeError
from cmodel.net import Layer
from cmodel.net.shapes.windows import convolution_window
from cmodel.tensors import Dense, Form, Sparse

SCHEMES = ("spatial", "tucker", "cp", "monochromatic", "biclustered")
CLUSTERS = 2


@dataclass(frozen=True)
class Options:
    """Which chain, and how thin: by `rank`, `energy` or `ratio`; ratio = 0.5 where none is given.

    scheme : "spatial", "tucker", "cp", "monochromatic" (by `rank` only) or "biclustered".
    rank : channels between the convolutions; for "tucker" those towards the output, for
        "biclustered" those of each pair of clusters.
    rank_in : for these two the channels towards the input; as many as `rank` where left out.
    clusters : for "biclustered" their number on either side; 2 where left out.
    energy : for "spatial" and "tucker", the fraction of the sum of squares that is kept (in each
        of tucker's two modes).
    ratio : fraction of the weights that the chain may have.
    weighted : fit the last convolution to the responses.
    iterations : most rounds of alternating least squares.
    damp : with `weighted`, this times the mean input energy is added to that of every input.
    """

    scheme: str = "spatial"
    rank: int | None = None
    rank_in: int | None = None
    clusters: int | None = None
    energy: float | None = None
    ratio: float | None = None
    weighted: bool = False
    iterations: int = 100
    damp: float = 0.01

    def __post_init__(self) -> None:
        check_choice("scheme", self.scheme, SCHEMES)
        given = [name for name in ("rank", "energy", "ratio") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        for name in ("rank", "rank_in", "clusters"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1, 1 << 20)
        for name in ("energy", "ratio"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, 1)
        check_bool("weighted", self.weighted)
        check_int("iterations", self.iterations, 1, 100000)
        check_number("damp", self.damp, 0, 1)
        by_sides = self.scheme in ("tucker", "biclustered")
        if self.rank_in is not None and not (by_sides and self.rank is not None):
            raise ValueError('rank_in goes with scheme = "tucker" or "biclustered", and rank')
        if self.clusters is not None and self.scheme != "biclustered":
            raise ValueError('clusters go with scheme = "biclustered"')
        if self.energy is not None and self.scheme not in ("spatial", "tucker"):
            raise ValueError(f'energy is for "spatial" and "tucker", not "{self.scheme}"')
        if self.scheme == "monochromatic" and (self.rank is None or self.weighted):
            raise ValueError('"monochromatic" takes rank, the number of colours, and no weighting')
        if self.scheme == "biclustered" and self.weighted:
            raise ValueError('"biclustered" takes no weighting: it would fill the last convolution')


def _needs(options: Options) -> Needs:
    return GRAM if options.weighted else NOTHING


@rewrite("factorize.conv", Options, needs=_needs)
def factorize_conv(task: RewriteTask[Options]) -> Rewritten:
    """Replace each convolution by a chain; one that would grow stays, unless its rank is stated."""
    facts = {}
    for target in task.targets:
        options = task.options[target.name]
        weights, bias = plain_weights(task.net, target, "factorize.conv")
        _check(target, weights.shape, options)
        full = weights.astype(np.float64)
        chain = _chain(full, options, task.rng)
        found = {"ranks": list(chain.ranks), "weights": chain.weights}
        if options.rank is None and chain.weights >= weights.size:
            facts[target.name] = {**found, "kept": "the chain would not be smaller"}
            continue
        statistics = task.statistics.get(target.name)
        if statistics is not None:
            chain = _fitted(chain, full, statistics, options.damp)
        found["error"] = relative_error(chain.approximation(), full)
        facts[target.name] = found
        replace_layer(task.net, target.layer.key, _layers(target.layer, chain, bias))
    return Rewritten(task.net, facts)


def _check(target: Target, shape: tuple[int, ...], options: Options) -> None:
    layer = target.layer
    if layer.type != "Convolution" or len(shape) != 4:
        raise RecipeError(
            f"`factorize.conv` works on convolutions over two axes; `{layer.key}` is none",
            hint='select.type = "Convolution", or `factorize.svd` for this layer',
        )
    if layer.param.convolution_param.group != 1:
        raise RecipeError(
            f"`factorize.conv`: `{layer.key}` has {layer.param.convolution_param.group} groups",
            hint="exclude it, or use `factorize.svd`, which keeps groups",
        )
    outputs, channels, height, width = shape
    clusters = (options.clusters or CLUSTERS) if options.scheme == "biclustered" else 1
    if clusters > min(outputs, channels):
        raise RecipeError(
            f"{clusters} clusters of the {channels} channels and {outputs} outputs of "
            f"`{target.name}`",
            hint="fewer clusters, or exclude it",
        )
    limit = {
        "spatial": min(channels * height, outputs * width),
        "tucker": outputs,
        "cp": outputs * channels * height * width // max(shape),
        "monochromatic": outputs,
        "biclustered": outputs // clusters,
    }[options.scheme]
    for name, value, most in (
        ("rank", options.rank, limit),
        ("rank_in", options.rank_in, channels // clusters),
    ):
        if value is not None and value > most:
            raise RecipeError(f"{name} {value} is beyond the {most} of `{target.name}`")


def _chain(weights: Doubles, options: Options, rng: np.random.Generator) -> Chain:
    ratio = options.ratio if options.ratio is not None or options.energy is not None else 0.5
    rank = options.rank
    match options.scheme:
        case "spatial":
            return spatial(weights, rank, options.energy, ratio)
        case "tucker":
            rank_in = options.rank_in
            if rank is not None and rank_in is None:
                rank_in = min(rank, weights.shape[1])
            ranks = None if rank is None or rank_in is None else (rank, rank_in)
            return tucker(weights, ranks, options.energy, ratio, options.iterations)
        case "biclustered":
            clusters = options.clusters or CLUSTERS
            pair = None
            if rank is not None:
                pair = rank, options.rank_in or min(rank, weights.shape[1] // clusters)
            return biclustered(weights, clusters, pair, ratio or 1, options.iterations, rng)
        case "cp":
            if rank is None:
                rank = max(int((ratio or 0.5) * weights.size / sum(weights.shape)), 1)
            return cp(weights, rank, options.iterations, rng)
        case _:
            return monochromatic(weights, rank or 1, options.iterations, rng)


def _fitted(chain: Chain, weights: Doubles, statistics: Statistics, damp: float) -> Chain:
    """Return the chain with the last convolution that is best in the responses."""
    features = chain.features()
    gram = damped(statistics.gram[0], damp)
    moments = features @ gram @ features.T
    # Channels that say the same leave it singular.
    moments += 1e-9 * np.trace(moments) / len(moments) * np.eye(len(moments))
    target = weights.reshape(len(weights), -1) @ gram @ features.T
    return chain.with_last(linalg.solve(moments, target.T, assume_a="pos").T)


def _layers(layer: Layer, chain: Chain, bias: Form | None) -> list[NewLayer]:
    """Return the chain as layers; each takes over stride, padding and dilation of its axes."""
    window = convolution_window(layer, (1, 1, 1, 1))
    made = []
    for number, part in enumerate(chain.parts):
        last = number == len(chain.parts) - 1
        param = copied(layer.param)
        conv = param.convolution_param
        conv.num_output = part.weights.shape[0]
        conv.group = part.groups
        conv.bias_term = last and bias is not None
        stride, pad, dilation = [1, 1], [0, 0], [1, 1]
        for axis in part.axes:
            stride[axis], pad[axis] = window.stride[axis], window.pad[axis]
            dilation[axis] = window.dilation[axis]
        set_window(conv, part.weights.shape[2:], stride, pad, dilation)
        form: Form = Dense(positive_zeros(part.weights))
        if part.sparse:
            form = _sparse(form.to_dense())
        forms = [form, *(with_bias(bias) if last else [])]
        made.append(NewLayer(param, forms, part.suffix))
    return made


def _sparse(weights: NDArray[np.float32]) -> Sparse:
    positions = np.flatnonzero(weights).astype(np.int64)
    return Sparse(weights.shape, positions, Dense(weights.reshape(-1)[positions]))
