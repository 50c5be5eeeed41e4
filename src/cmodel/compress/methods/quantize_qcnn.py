"""Quantized CNN: product codes that minimise the error of the responses, layer after layer.

J. Wu, C. Leng, Y. Wang, Q. Hu, J. Cheng, "Quantized Convolutional Neural Networks for Mobile
Devices", 2016: equation 6 (fully connected) and 10 (convolutions, one codebook for a block of input
channels at all places of the kernel) over codebooks and codes in turn, with error correction
(equations 13 and 14): the responses aimed at are those of the net before the step, the inputs those
of the net whose earlier layers are quantized already.

With the moments A = E[x xᵀ] and C = E[y xᵀ] of quantized inputs x and original ones y, the error
E|W y - W' x|^2 is quadratic in W' with the gradient -2 (W C - W' A), so that no image is looked at
again: each block of codes, then each codeword, takes its exact optimum with all others fixed, and
the error never rises. A = C where nothing before is quantized.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress.matrix import Doubles, from_rows, response_error, to_rows
from cmodel.compress.options import check_bool, check_int, check_number
from cmodel.compress.registry import (
    GRAM,
    GRAM_AND_CROSS,
    Needs,
    Outcome,
    Task,
    method,
)
from cmodel.compress.values import relative_error, unpruned
from cmodel.compress.vectors import cluster_blocks, code_type, layout_of
from cmodel.tensors import Dense


@dataclass(frozen=True)
class Options:
    """How blocks are cut and coded.

    k : codewords of a codebook.
    dimension : of a block of input channels; divides their number.
    rounds : how often all codes and codewords are improved, from plain product codes on.
    correct : aim at the responses of the net before the step (a pass over the images per layer).
    iterations : most Lloyd iterations of the plain product codes.
    damp : this times the mean input energy is added to that of every input.
    """

    k: int = 256
    dimension: int = 8
    rounds: int = 3
    correct: bool = True
    iterations: int = 25
    damp: float = 0.01

    def __post_init__(self) -> None:
        check_int("k", self.k, 1, 65536)
        check_int("dimension", self.dimension, 1, 1 << 20)
        check_int("rounds", self.rounds, 1, 1000)
        check_bool("correct", self.correct)
        check_int("iterations", self.iterations, 1, 10000)
        check_number("damp", self.damp, 0, 1)


def _needs(options: Options) -> Needs:
    return GRAM_AND_CROSS if options.correct else GRAM


@method("quantize.qcnn", Options, needs=_needs)
def quantize_qcnn(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter."""
    options, statistics = task.options, task.inputs
    weights = unpruned(task.form, task.name, "quantize.qcnn")
    rows = to_rows(task.layer, weights).astype(np.float64)
    layout = layout_of(task.layer, task.name, weights.shape, "channels", options.dimension)
    codebooks, codes = cluster_blocks(
        layout.rows(weights),
        options.dimension,
        options.k,
        False,
        options.iterations,
        task.rng,
        task.threads,
    )
    cross = statistics.gram if statistics.cross is None else statistics.cross
    fit = _Fit(rows, statistics.gram, cross, codebooks, codes, options.damp)
    for _ in range(options.rounds):
        for block in range(len(codebooks)):
            fit.improve(block)
    words = fit.codebooks.astype(np.float32) + np.float32(0)
    numbers = fit.codes.reshape(1, -1, len(codebooks)).astype(code_type(words.shape[1]))
    form = layout.product(Dense(words[None]), numbers)
    energy = response_error(rows, statistics.gram)
    left = response_error(fit.rows - rows, statistics.gram)
    facts = {
        "error": relative_error(from_rows(task.layer, fit.rows, weights.shape), weights),
        "response_error": (max(left, 0.0) / energy) ** 0.5 if energy > 0 else 0.0,
    }
    return Outcome(form, facts)


class _Fit:
    """Codes (G, R, P, S) and codebooks (S, K, d) on the way to the least response error.

    G groups of R rows; P places of the kernel; S blocks of d input channels. `rows` are the present
    approximation (G, R, K), `gradient` is W C - W' A, up to a factor.
    """

    def __init__(
        self,
        rows: Doubles,
        gram: Doubles,
        cross: Doubles,
        codebooks: NDArray[np.float32],
        codes: NDArray[np.unsignedinteger],
        damp: float,
    ) -> None:
        groups, height, width = rows.shape
        blocks, _, dimension = codebooks.shape
        self.places = width // (blocks * dimension)
        self.codebooks = codebooks.astype(np.float64)
        self.codes = codes.astype(np.int64).reshape(groups, height, self.places, blocks)
        # The same ridge on both sides pulls towards the weights themselves.
        level = np.trace(gram, axis1=1, axis2=2) / width
        ridge = np.where(level > 0, level * damp, 1.0)[:, None, None] * np.eye(width)
        self.gram = gram + ridge
        self.rows = np.empty_like(rows)
        for block in range(blocks):
            self.rows[:, :, self._columns(block)] = self._decoded(block)
        self.gradient = rows @ (cross + ridge) - self.rows @ self.gram

    def _columns(self, block: int) -> NDArray[np.int64]:
        """Return the columns of a block: all its channels at place 0, at place 1, and so on."""
        dimension = self.codebooks.shape[2]
        channels = block * dimension + np.arange(dimension)
        columns: NDArray[np.int64] = channels * self.places + np.arange(self.places)[:, None]
        return columns.reshape(-1)

    def _decoded(self, block: int) -> Doubles:
        taken: Doubles = self.codebooks[block][self.codes[..., block]]
        return taken.reshape(*self.codes.shape[:2], -1)

    def improve(self, block: int) -> None:
        """Give a block its best codes, one place after the other, then its best codewords."""
        columns = self._columns(block)
        gram = self.gram[:, columns[:, None], columns]
        gradient = self.gradient[:, :, columns]
        self._assign(block, gram, gradient)
        if self.places == 1:
            self._move_all(block, gram, gradient)
        else:
            self._move_each(block, gram, gradient)
        new = self._decoded(block)
        self.gradient -= (new - self.rows[:, :, columns]) @ self.gram[:, columns]
        self.rows[:, :, columns] = new

    def _assign(self, block: int, gram: Doubles, gradient: Doubles) -> None:
        words = self.codebooks[block]
        size = words.shape[1]
        for group in range(len(gram)):
            for place in range(self.places):
                part = slice(place * size, (place + 1) * size)
                local = gram[group, part, part]
                now = words[self.codes[group, :, place, block]]
                # Without a choice of codes the block would move to `target`; the error grows from
                # there with the Gram matrix, which the root turns into a plain distance.
                target = now + linalg.solve(local, gradient[group, :, part].T, assume_a="pos").T
                root = np.linalg.cholesky(local)
                a, b = target @ root, words @ root
                codes = (np.square(b).sum(axis=1) - 2 * a @ b.T).argmin(axis=1)
                self.codes[group, :, place, block] = codes
                gradient[group] -= (words[codes] - now) @ gram[group, part]

    def _move_all(self, block: int, gram: Doubles, gradient: Doubles) -> None:
        """Move all codewords at once: at a single place no row has two of them."""
        words = self.codebooks[block]
        entries, size = words.shape
        left = np.zeros((entries, size, size))
        right = np.zeros((entries, size))
        for group in range(len(gram)):
            codes = self.codes[group, :, 0, block]
            left += np.bincount(codes, minlength=entries)[:, None, None] * gram[group]
            np.add.at(right, codes, gradient[group])
        used = left.any(axis=(1, 2))
        words[used] += np.linalg.solve(left[used], right[used][:, :, None])[:, :, 0]

    def _move_each(self, block: int, gram: Doubles, gradient: Doubles) -> None:
        """Move one codeword after the other: a row may have several, at different places."""
        words = self.codebooks[block]
        entries, size = words.shape
        groups, places = len(gram), self.places
        pairs = gram.reshape(groups, places, size, places, size)
        errors = gradient.reshape(groups, -1, places, size)
        codes = self.codes[..., block]
        for word in range(entries):
            users = codes == word
            if not users.any():
                continue
            counts = users.astype(np.float64)
            together = counts.transpose(0, 2, 1) @ counts
            left = np.einsum("gpq,gpiqj->ij", together, pairs)
            step = linalg.solve(left, errors[users].sum(axis=0), assume_a="pos")
            words[word] += step
            for group in range(groups):
                rows = users[group].any(axis=1)
                change = (counts[group, rows][:, :, None] * step).reshape(-1, places * size)
                errors[group, rows] -= (change @ gram[group]).reshape(-1, places, size)
