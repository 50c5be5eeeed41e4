"""Cartesian k-means, or optimised product quantization: product codes in a rotated space.

M. Norouzi, D. Fleet, "Cartesian k-means", 2013, section 4: minimise |X - R D B|^2 over a rotation
R, block codebooks D and codes B in turn; R for the rest fixed is the orthogonal Procrustes problem
(equation 14). T. Ge, K. He, Q. Ke, J. Sun, "Optimized Product Quantization", 2013, section 3.1, is
the same from the side of product quantization.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import orthogonal_procrustes

from cmodel.compress.options import check_bool, check_choice, check_int
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import nearest_divisor, relative_error, unpruned
from cmodel.compress.vectors import (
    ALONG,
    SAMPLES,
    Codes,
    Layout,
    cluster_blocks,
    decoded,
    layout_of,
)
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, FloatArray


@dataclass(frozen=True)
class Options:
    """How blocks are cut, rotated and coded.

    k : codewords of a codebook.
    dimension : of a block; divides the span.
    span : number of successive weights of a row that are rotated together; divides a row. The
        rotation takes span^2 floats. 0 means the whole row, or a divisor of it near 64.
    rounds : how often rotation and codebooks are improved in turn.
    shared, along, iterations : as for `quantize.product`.
    """

    k: int = 256
    dimension: int = 8
    span: int = 0
    rounds: int = 10
    shared: bool = False
    along: str = "channels"
    iterations: int = 25

    def __post_init__(self) -> None:
        check_int("k", self.k, 1, 65536)
        check_int("dimension", self.dimension, 1, 1 << 20)
        check_int("span", self.span, 0, 4096)
        check_int("rounds", self.rounds, 1, 1000)
        check_bool("shared", self.shared)
        check_choice("along", self.along, ALONG)
        check_int("iterations", self.iterations, 1, 10000)


@method("quantize.cartesian", Options)
def quantize_cartesian(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter."""
    options = task.options
    weights = unpruned(task.form, task.name, "quantize.cartesian")
    row = layout_of(task.layer, task.name, weights.shape, options.along, options.dimension)
    layout = Layout(row.shape, row.axes, _span(options, row.width, task.name))
    rows = layout.rows(weights)
    if not rows.size:
        return Outcome(task.form)
    # More vectors than a codebook is trained on do not train the rotation either.
    most = SAMPLES * options.k
    sample = rows
    if len(rows) > most:
        sample = rows[np.sort(task.rng.choice(len(rows), most, replace=False))]
    codebooks, codes = cluster_blocks(
        sample,
        options.dimension,
        options.k,
        options.shared,
        options.iterations,
        task.rng,
        task.threads,
    )
    rotation = np.eye(layout.width, dtype=np.float32)
    for _ in range(options.rounds):
        turned, _ = orthogonal_procrustes(
            sample.astype(np.float64), decoded(codebooks, codes).astype(np.float64)
        )
        rotation = turned.astype(np.float32)
        codebooks, codes = _improved(sample @ rotation, codebooks, task)
    if sample is not rows:
        codebooks, codes = _improved(rows @ rotation, codebooks, task)
    form = layout.product(Dense(codebooks[None]), codes[None], rotation)
    facts = {
        "error": relative_error(decoded(codebooks, codes), rows @ rotation),
        "rotation_bytes": rotation.nbytes,
    }
    return Outcome(form, facts)


def _span(options: Options, width: int, name: str) -> int:
    # A row is a whole number of blocks; so is the span, and a row a whole number of spans.
    blocks = width // options.dimension
    if options.span == 0:
        if width <= 128:
            return width
        return options.dimension * nearest_divisor(blocks, max(64 // options.dimension, 1))
    if width % options.span or options.span % options.dimension:
        nearest = nearest_divisor(blocks, max(options.span // options.dimension, 1))
        raise RecipeError(
            f"span {options.span} is not made of blocks of {options.dimension}, or does not divide "
            f"a row of {width:,} of `{name}`",
            hint=f"span = {nearest * options.dimension} is and does",
        )
    return options.span


def _improved(
    rows: FloatArray, codebooks: FloatArray, task: Task[Options]
) -> tuple[FloatArray, Codes]:
    """Run a few of Lloyd's iterations in each block from the present codebooks."""
    options = task.options
    return cluster_blocks(
        rows,
        options.dimension,
        codebooks.shape[1],
        options.shared,
        3,
        task.rng,
        task.threads,
        codebooks,
    )
