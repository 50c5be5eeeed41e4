"""Block pruning: the blocks of least norm become zero, the others are stored whole.

S. Narang, E. Undersander, G. Diamos, "Block-Sparse Recurrent Neural Networks", 2017, section 3.1
prunes by the largest magnitude of a block; H. Mao et al., "Exploring the Regularity of Sparse
Structure in Convolutional Neural Networks", 2017, section 3.2 by the sum of magnitudes (L1 norm).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_choice, check_int, check_number
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import nearest_divisor, unquantized
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, Sparse, size_of


@dataclass(frozen=True)
class Options:
    """Which blocks stay.

    density : fraction of the blocks to keep (0 < density <= 1).
    height, width : of a block, in rows (outputs) and columns of the weight matrix.
    norm : "l1", "l2" or "max" of a block's magnitudes.
    """

    density: float = 0.5
    height: int = 4
    width: int = 1
    norm: str = "l2"

    def __post_init__(self) -> None:
        check_number("density", self.density, 0, 1)
        check_int("height", self.height, 1, 4096)
        check_int("width", self.width, 1, 4096)
        check_choice("norm", self.norm, ("l1", "l2", "max"))


@method("prune.block", Options)
def prune_block(task: Task[Options]) -> Outcome:
    """Prune a Dense parameter, or a Sparse one of dense values further."""
    options, form = task.options, task.form
    weights = unquantized(form, task.name, "prune.block")
    rows = form.shape[0] if form.shape else 1
    columns = size_of(form.shape[1:])
    for name, size, whole in (("height", options.height, rows), ("width", options.width, columns)):
        if whole % size:
            raise RecipeError(
                f"{name} {size} does not divide the {whole:,} "
                f"{'rows' if name == 'height' else 'columns'} of `{task.name}`",
                hint=f"{name} = {nearest_divisor(whole, size)} does; "
                "options may be given by layer name",
            )
    grid = weights.reshape(
        rows // options.height, options.height, columns // options.width, options.width
    )
    blocks = grid.transpose(0, 2, 1, 3).reshape(-1, options.height * options.width)
    magnitude = np.abs(blocks.astype(np.float64))
    if options.norm == "l1":
        norms = magnitude.sum(axis=1)
    elif options.norm == "l2":
        norms = np.square(magnitude).sum(axis=1)
    else:
        norms = magnitude.max(axis=1, initial=0.0)
    keep = np.argsort(-norms, kind="stable")[: round(options.density * len(blocks))]
    positions = np.sort(keep[norms[keep] > 0]).astype(np.int64)
    values = blocks[positions].reshape(-1) + np.float32(0)
    sparse = Sparse(form.shape, positions, Dense(values), (options.height, options.width))
    return Outcome(sparse, {"density": sparse.density})
