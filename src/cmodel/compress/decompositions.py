"""Decompositions of a convolution's weights (N, C, kh, kw) into chains of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress.matrix import Doubles


@dataclass(frozen=True, eq=False)
class Part:
    """One convolution of a chain.

    weights : (out, in / groups, kh, kw).
    axes : the axes (0 vertical, 1 horizontal) along which it slides the original's kernel.
    suffix : of its layer's name.
    """

    weights: Doubles
    axes: tuple[int, ...] = ()
    suffix: str = ""
    groups: int = 1
    sparse: bool = False


@dataclass(frozen=True, eq=False)
class Chain:
    """Convolutions one after the other."""

    parts: Sequence[Part]

    @property
    def ranks(self) -> tuple[int, ...]:
        """Channels between the convolutions."""
        return tuple(part.weights.shape[0] for part in self.parts[:-1])

    @property
    def weights(self) -> int:
        """Number of weights; of sparse ones those that are stored."""
        return sum(
            int(np.count_nonzero(part.weights)) if part.sparse else part.weights.size
            for part in self.parts
        )

    def approximation(self) -> Doubles:
        """Return the weights (N, C, kh, kw) of the one convolution that equals the chain."""
        total = _dense(self.parts[0])
        for part in self.parts[1:]:
            total = _then(total, _dense(part))
        return total

    def features(self) -> Doubles:
        """Return what the last convolution multiplies, as a linear map of the patch.

        (in * kh * kw of the last, C * kh * kw of the whole).
        """
        last = self.parts[-1].weights
        _, channels, height, width = last.shape
        before = _dense(self.parts[0])
        for part in self.parts[1:-1]:
            before = _then(before, _dense(part))
        inputs = before.shape[1]
        shape = (before.shape[2] + height - 1, before.shape[3] + width - 1)
        found = np.zeros((channels, height, width, inputs, *shape))
        for y in range(height):
            for x in range(width):
                found[:, y, x, :, y : y + before.shape[2], x : x + before.shape[3]] = before
        return found.reshape(channels * height * width, -1)

    def with_last(self, matrix: Doubles) -> Chain:
        """Return the chain with other weights (N, in * kh * kw) of the last convolution."""
        last = self.parts[-1]
        return Chain([*self.parts[:-1], replace(last, weights=matrix.reshape(last.weights.shape))])


def _dense(part: Part) -> Doubles:
    """Return the weights of a convolution without groups that equals it."""
    if part.groups == 1:
        return part.weights
    outputs, inputs = part.weights.shape[:2]
    each = outputs // part.groups
    full = np.zeros((outputs, inputs * part.groups, *part.weights.shape[2:]))
    for group in range(part.groups):
        rows, columns = (slice(group * n, (group + 1) * n) for n in (each, inputs))
        full[rows, columns] = part.weights[rows]
    return full


def _then(first: Doubles, second: Doubles) -> Doubles:
    """Return the weights of two convolutions one after the other."""
    height = first.shape[2] + second.shape[2] - 1
    width = first.shape[3] + second.shape[3] - 1
    total = np.zeros((second.shape[0], first.shape[1], height, width))
    for y in range(second.shape[2]):
        for x in range(second.shape[3]):
            part = np.einsum("nr,rcij->ncij", second[:, :, y, x], first, optimize=True)
            total[:, :, y : y + first.shape[2], x : x + first.shape[3]] += part
    return total


def energy_rank(s: Doubles, energy: float) -> int:
    """Return how many singular values keep a fraction of the sum of all squares."""
    kept = np.cumsum(np.square(s))
    return min(int(np.searchsorted(kept, kept[-1] * energy * (1 - 1e-12))) + 1, s.size)


def spatial(weights: Doubles, rank: int | None, energy: float | None, ratio: float | None) -> Chain:
    """Return kh x 1, then 1 x kw: the best of its rank, which is one of the three."""
    outputs, channels, height, width = weights.shape
    matrix = weights.transpose(1, 2, 0, 3).reshape(channels * height, outputs * width)
    u, s, v = linalg.svd(matrix, full_matrices=False)
    if rank is None and energy is not None:
        rank = energy_rank(s, energy)
    elif rank is None:
        most = (ratio or 1) * weights.size / (channels * height + outputs * width)
        rank = min(max(int(most), 1), s.size)
    root = np.sqrt(s[:rank])
    vertical = (u[:, :rank] * root).T.reshape(rank, channels, height, 1)
    horizontal = (root[:, None] * v[:rank]).reshape(rank, outputs, width).transpose(1, 0, 2)
    return Chain([Part(vertical, (0,), "_v"), Part(horizontal[:, :, None, :].copy(), (1,), "_h")])


def tucker(
    weights: Doubles,
    ranks: tuple[int, int] | None,
    energy: float | None,
    ratio: float | None,
    iterations: int,
) -> Chain:
    """Return 1 x 1, kh x kw, 1 x 1; `ranks` are (towards the output, towards the input)."""
    outputs, channels = weights.shape[:2]
    modes = [weights.reshape(outputs, -1), weights.swapaxes(0, 1).reshape(channels, -1)]
    found = [linalg.svd(mode, full_matrices=False)[:2] for mode in modes]
    if ranks is None and energy is not None:
        ranks = energy_rank(found[0][1], energy), energy_rank(found[1][1], energy)
    elif ranks is None:
        ranks = _tucker_ranks(weights.shape, ratio or 1)
    out, inward = (u[:, :rank] for (u, _), rank in zip(found, ranks, strict=True))
    last = -1.0
    for _ in range(iterations):
        narrow = np.einsum("ncyx,ci->niyx", weights, inward, optimize=True)
        out = linalg.svd(narrow.reshape(outputs, -1), full_matrices=False)[0][:, : ranks[0]]
        narrow = np.einsum("ncyx,no->ocyx", weights, out, optimize=True)
        side = narrow.swapaxes(0, 1).reshape(channels, -1)
        u, s, _ = linalg.svd(side, full_matrices=False)
        inward = u[:, : ranks[1]]
        kept = float(np.square(s[: ranks[1]]).sum())
        if kept <= last * (1 + 1e-7):
            break
        last = kept
    core = np.einsum("ncyx,no,ci->oiyx", weights, out, inward, optimize=True)
    first = inward.T.reshape(inward.shape[1], channels, 1, 1)
    tail = out.reshape(outputs, out.shape[1], 1, 1)
    return Chain([Part(first, (), "_in"), Part(core, (0, 1), "_core"), Part(tail, (), "_out")])


def _tucker_ranks(shape: Sequence[int], ratio: float) -> tuple[int, int]:
    """Return the largest ranks, both the same part of their mode, of at most so many weights."""
    outputs, channels, height, width = shape
    best = 1, 1
    for step in range(1, 257):
        out, inward = max(outputs * step // 256, 1), max(channels * step // 256, 1)
        size = channels * inward + out * inward * height * width + outputs * out
        if size <= ratio * outputs * channels * height * width:
            best = out, inward
    return best


def cp(weights: Doubles, rank: int, iterations: int, rng: np.random.Generator) -> Chain:
    """Return 1 x 1, then kh x 1 and 1 x kw on each channel, then 1 x 1."""
    shape = weights.shape
    factors = [rng.normal(size=(size, rank)) for size in shape]
    letters = "ncyx"
    scale = float(np.linalg.norm(weights))
    last = np.inf
    for _ in range(iterations if scale > 0 else 0):
        for mode in range(4):
            others = [i for i in range(4) if i != mode]
            # Equal contributions of all factors keep the columns from cancelling each other.
            for i in others:
                size = np.linalg.norm(factors[i], axis=0)
                factors[i] = factors[i] / np.where(size > 0, size, 1)
            formula = f"{letters},{','.join(letters[i] + 'r' for i in others)}->{letters[mode]}r"
            right = np.einsum(formula, weights, *(factors[i] for i in others), optimize=True)
            gram = np.ones((rank, rank))
            for i in others:
                gram *= factors[i].T @ factors[i]
            gram += 1e-9 * np.eye(rank)
            factors[mode] = linalg.solve(gram, right.T, assume_a="pos").T
        # For the last mode solved, |W - W'|^2 = |W|^2 - <W, W'> up to the small ridge.
        error = 1 - float((right * factors[3]).sum()) / scale**2
        if abs(last - error) <= 1e-9:
            break
        last = error
    if scale == 0:
        factors = [np.zeros((size, rank)) for size in shape]
    # The last factor holds all of the size: shared out, no part is far from the others.
    size = np.linalg.norm(factors[3], axis=0)
    factors[3] = factors[3] / np.where(size > 0, size, 1)
    a, b, u, v = (factor * size**0.25 for factor in factors)
    return Chain(
        [
            Part(b.T.reshape(rank, shape[1], 1, 1), (), "_in"),
            Part(u.T.reshape(rank, 1, shape[2], 1), (0,), "_v", groups=rank),
            Part(v.T.reshape(rank, 1, 1, shape[3]), (1,), "_h", groups=rank),
            Part(a.reshape(shape[0], rank, 1, 1), (), "_out"),
        ]
    )


def monochromatic(
    weights: Doubles, colours: int, iterations: int, rng: np.random.Generator
) -> Chain:
    """Return 1 x 1 to `colours` channels, then kh x kw where each filter reads one of them."""
    outputs, channels, height, width = weights.shape
    filters = weights.reshape(outputs, channels, -1)
    # The colour of a filter alone: its first left singular vector, of either sign.
    own = np.linalg.svd(filters, full_matrices=False)[0][:, :, 0]
    centres = own[np.sort(rng.choice(outputs, min(colours, outputs), replace=False))]
    chosen = np.full(outputs, -1)
    for _ in range(iterations):
        # With the colour c of norm 1 a filter keeps |cᵀ W_f|^2 of its energy.
        kept = np.square(np.einsum("kc,fcs->fks", centres, filters, optimize=True)).sum(axis=2)
        best = kept.argmax(axis=1)
        if (best == chosen).all():
            break
        chosen = best
        for colour in range(len(centres)):
            mine = filters[chosen == colour]
            if len(mine):
                # The best colour for all of them: the first eigenvector of the sum of W Wᵀ.
                energy = np.einsum("fcs,fds->cd", mine, mine)
                centres[colour] = linalg.eigh(energy)[1][:, -1]
    shapes: NDArray[np.float64] = np.einsum("fc,fcs->fs", centres[chosen], filters)
    second = np.zeros((outputs, len(centres), height, width))
    second[np.arange(outputs), chosen] = shapes.reshape(outputs, height, width)
    first = centres.reshape(len(centres), channels, 1, 1)
    return Chain([Part(first, (), "_mix"), Part(second, (0, 1), "_mono", sparse=True)])
