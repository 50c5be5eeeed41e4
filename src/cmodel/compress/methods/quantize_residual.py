"""Residual quantization: each stage codes what the stages before it left over.

Y. Gong, L. Liu, M. Yang, L. Bourdev, "Compressing Deep Convolutional Networks using Vector
Quantization", 2014, section 3.4: w ~ c1 + c2 + ... + ct, found stage by stage with k-means on the
residuals (Chen, Guan, Wang, "Approximate nearest neighbor search by residual vector quantization",
2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_bool, check_choice, check_int
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import relative_error, unpruned
from cmodel.compress.vectors import (
    ALONG,
    cluster_blocks,
    code_type,
    decoded,
    layout_of,
)
from cmodel.tensors import Dense


@dataclass(frozen=True)
class Options:
    """How blocks are cut and coded.

    k : codewords of a codebook of each stage.
    dimension : of a block; 0 means a whole row, as in the paper.
    stages : codewords that are added up for a block.
    shared, along, iterations : as for `quantize.product`.
    """

    k: int = 256
    dimension: int = 8
    stages: int = 2
    shared: bool = False
    along: str = "channels"
    iterations: int = 25

    def __post_init__(self) -> None:
        check_int("k", self.k, 1, 65536)
        check_int("dimension", self.dimension, 0, 1 << 20)
        check_int("stages", self.stages, 1, 16)
        check_bool("shared", self.shared)
        check_choice("along", self.along, ALONG)
        check_int("iterations", self.iterations, 1, 10000)


@method("quantize.residual", Options)
def quantize_residual(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter."""
    options = task.options
    weights = unpruned(task.form, task.name, "quantize.residual")
    layout = layout_of(task.layer, task.name, weights.shape, options.along, options.dimension or 1)
    rows = layout.rows(weights)
    if not rows.size:
        return Outcome(task.form)
    dimension = options.dimension or layout.width
    left = rows.astype(np.float64)
    books, numbers = [], []
    for _ in range(options.stages):
        codebooks, codes = cluster_blocks(
            left.astype(np.float32),
            dimension,
            options.k,
            options.shared,
            options.iterations,
            task.rng,
            task.threads,
        )
        left -= decoded(codebooks, codes)
        books.append(codebooks)
        numbers.append(codes)
    # A later stage may have had fewer different blocks.
    entries = max(codebooks.shape[1] for codebooks in books)
    whole = np.zeros((options.stages, len(books[0]), entries, dimension), np.float32)
    for stage, codebooks in enumerate(books):
        whole[stage, :, : codebooks.shape[1]] = codebooks
    codes = np.stack(numbers).astype(code_type(entries))
    form = layout.product(Dense(whole), codes)
    error = relative_error(layout.rows(form.to_dense()), rows)
    return Outcome(form, {"error": error})
