"""Optimal Brain Surgeon: remove the weights that the responses miss least, and adjust the others.

B. Hassibi, D. Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", 1993,
equation 5: removing weight q costs L_q = w_q^2 / (2 [H^-1]_qq), and the others move by
dw = -w_q / [H^-1]_qq * H^-1 e_q. For a layer's response error |(W - W') x|^2 the Hessian is twice
the input Gram matrix, the same for each row (E. Frantar, S. Singh, D. Alistarh, "Optimal Brain
Compression", 2022, sections 4.1 and 4.2: exact row updates, one global order over the rows).

Layers too large for that are pruned column by column (E. Frantar, D. Alistarh, "SparseGPT", 2023,
section 3): each block of columns chooses its mask by the same L_q, later columns make up for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress.matrix import Doubles, damped, from_rows, response_error, to_rows
from cmodel.compress.options import check_choice, check_number
from cmodel.compress.registry import GRAM, Outcome, Task, method
from cmodel.compress.values import unquantized
from cmodel.tensors import Dense, Sparse

# Rows times the cube of their length up to which the exact algorithm takes minutes at most.
EXACT_WORK = 5e11
# Removals between two updates of the whole inverse; columns of a block.
_BATCH = 32
_BLOCK = 128


@dataclass(frozen=True)
class Options:
    """How many weights stay.

    density : fraction of the layer's weights to keep (0 < density <= 1).
    algorithm : "exact" row updates, "columns", or "auto": exact where that takes minutes at most.
    damp : this times the mean input energy is added to that of every input.
    """

    density: float = 0.5
    algorithm: str = "auto"
    damp: float = 0.01

    def __post_init__(self) -> None:
        check_number("density", self.density, 0, 1)
        check_choice("algorithm", self.algorithm, ("auto", "exact", "columns"))
        check_number("damp", self.damp, 0, 1)


@method("prune.obs", Options, needs=GRAM)
def prune_obs(task: Task[Options]) -> Outcome:
    """Prune a Dense parameter, or a Sparse one of dense values further."""
    options = task.options
    weights = unquantized(task.form, task.name, "prune.obs")
    rows = to_rows(task.layer, weights).astype(np.float64)
    grams = damped(task.inputs.gram, options.damp)
    work = rows.shape[0] * rows.shape[1] * float(rows.shape[2]) ** 3
    exact = options.algorithm == "exact" or (options.algorithm == "auto" and work <= EXACT_WORK)
    if exact:
        pruned = _prune_exactly(rows, grams, round(options.density * rows.size))
    else:
        pruned = np.stack(
            [
                _prune_columns(matrix, gram, options.density)
                for matrix, gram in zip(rows, grams, strict=True)
            ]
        )
    error = response_error(pruned - rows, task.inputs.gram)
    energy = response_error(rows, task.inputs.gram)
    dense = from_rows(task.layer, pruned, weights.shape).reshape(-1)
    positions = np.flatnonzero(dense).astype(np.int64)
    sparse = Sparse(weights.shape, positions, Dense(dense[positions]))
    facts = {
        "density": sparse.density,
        "algorithm": "exact" if exact else "columns",
        "response_error": (max(error, 0.0) / energy) ** 0.5 if energy > 0 else 0.0,
    }
    return Outcome(sparse, facts)


def _prune_exactly(rows: Doubles, grams: Doubles, keep: int) -> Doubles:
    """Keep `keep` weights of (G, R, K) rows, removing the cheapest of all rows first."""
    height, width = rows.shape[1:]
    costs = np.empty(rows.shape)
    turns = np.empty(rows.shape, np.int64)
    for group, gram in enumerate(grams):
        inverse = linalg.inv(gram)
        for row in range(height):
            order, losses = removal_order(rows[group, row], inverse)
            # In a row the order is fixed: a removal costs no less than those before it.
            costs[group, row, order] = np.maximum.accumulate(losses)
            turns[group, row, order] = np.arange(width)
    chosen = np.lexsort((-turns.reshape(-1), -costs.reshape(-1)))[:keep]
    mask = np.zeros(rows.shape, bool)
    mask.reshape(-1)[chosen] = True
    result = np.zeros_like(rows)
    for group, gram in enumerate(grams):
        for row in range(height):
            kept = np.flatnonzero(mask[group, row])
            if kept.size == width:
                result[group, row] = rows[group, row]
            elif kept.size:
                # All updates of equation 5 together: least squares on the weights that stay.
                wanted = gram[kept] @ rows[group, row]
                result[group, row, kept] = linalg.solve(
                    gram[np.ix_(kept, kept)], wanted, assume_a="pos"
                )
    return result


def removal_order(row: Doubles, inverse: Doubles) -> tuple[NDArray[np.int64], Doubles]:
    """Return the order in which all weights of a row are removed, and what each removal costs.

    The inverse of the Hessian that is left is downdated by a rank-one term for each removal (OBC,
    lemma 1); the terms are collected and applied to the whole matrix a batch at a time.
    """
    weights, left = row.copy(), inverse.copy()
    names = np.arange(row.size)
    order, losses = [], []
    while names.size:
        batch = min(_BATCH, names.size)
        terms = np.empty((batch, names.size))
        diagonal = left.diagonal().copy()
        alive = np.ones(names.size, bool)
        for count in range(batch):
            cost = np.where(alive, np.square(weights) / diagonal, np.inf)
            q = int(cost.argmin())
            column = left[q] - terms[:count, q] @ terms[:count]
            term = column / np.sqrt(column[q])
            terms[count] = term
            weights -= weights[q] / column[q] * column
            diagonal = np.maximum(diagonal - np.square(term), np.finfo(np.float64).tiny)
            alive[q] = False
            weights[q] = 0
            order.append(names[q])
            losses.append(cost[q])
        terms = terms[:, alive]
        left = left[np.ix_(alive, alive)] - terms.T @ terms
        weights, names = weights[alive], names[alive]
    return np.array(order), np.array(losses)


def _prune_columns(rows: Doubles, gram: Doubles, density: float) -> Doubles:
    """Keep a fraction of the weights (R, K) in each block of columns."""
    result = rows.copy()
    height, width = rows.shape
    # Row j of the factor is what column j's removal does to the columns after it.
    factor = linalg.cholesky(linalg.inv(gram), lower=False)
    diagonal = factor.diagonal()
    for start in range(0, width, _BLOCK):
        stop = min(start + _BLOCK, width)
        block = result[:, start:stop]
        cost = np.square(block / diagonal[start:stop])
        keep = round(density * height * stop) - round(density * height * start)
        mask = np.zeros(cost.shape, bool)
        mask.reshape(-1)[np.argsort(-cost.reshape(-1), kind="stable")[:keep]] = True
        errors = np.zeros_like(block)
        for j in range(stop - start):
            error = np.where(mask[:, j], 0.0, block[:, j]) / diagonal[start + j]
            block[:, j:] -= error[:, None] * factor[start + j, start + j : stop]
            block[~mask[:, j], j] = 0
            errors[:, j] = error
        result[:, stop:] -= errors @ factor[start:stop, stop:]
    return result
