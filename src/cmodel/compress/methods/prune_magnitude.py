"""Magnitude pruning: the smallest weights become zero.

S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
Networks", 2015, section 3.1: the threshold is a quality parameter times the standard deviation of
the layer's weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_number
from cmodel.compress.registry import Outcome, Task, method
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, Sparse


@dataclass(frozen=True)
class Options:
    """Either a quality or a density.

    quality : weights with |w| < quality * std(w) are removed; default 0.5.
    density : fraction of the weights to keep, those of largest magnitude (0 < density <= 1).
    """

    quality: float | None = None
    density: float | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and self.density is not None:
            raise ValueError("quality and density exclude each other")
        if self.quality is not None:
            check_number("quality", self.quality, 0, 100)
        if self.density is not None:
            check_number("density", self.density, 0, 1)


@method("prune.magnitude", Options)
def prune_magnitude(task: Task[Options]) -> Outcome:
    """Prune a Dense parameter, or prune a Sparse one of dense values further."""
    form = task.form
    if not isinstance(form, Dense) and not (
        isinstance(form, Sparse) and isinstance(form.values, Dense)
    ):
        raise RecipeError(
            f"`prune.magnitude` comes before quantization: `{task.name}` is quantized already",
            hint="put the step first",
        )
    weights = form.to_dense().reshape(-1)
    magnitude = np.abs(weights)
    if task.options.density is not None:
        keep = _largest(magnitude, round(task.options.density * weights.size))
        threshold = float(magnitude[keep].min(initial=np.inf)) if keep.any() else 0.0
    else:
        quality = 0.5 if task.options.quality is None else task.options.quality
        threshold = quality * float(weights.std(dtype=np.float64))
        keep = magnitude >= threshold
    # A zero is nothing to store whatever the threshold.
    positions = np.flatnonzero(keep & (weights != 0)).astype(np.int64)
    sparse = Sparse(form.shape, positions, Dense(weights[positions]))
    return Outcome(sparse, {"threshold": threshold, "density": sparse.density})


def _largest(magnitude: np.ndarray, count: int) -> np.ndarray:
    """Mask of the `count` largest; among equals the earlier positions win."""
    keep = np.zeros(magnitude.size, bool)
    keep[np.argsort(-magnitude, kind="stable")[:count]] = True
    return keep
