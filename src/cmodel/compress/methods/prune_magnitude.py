"""Magnitude pruning: the smallest weights become zero.

S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
Networks", 2015, section 3.1: the threshold is a quality parameter times the standard deviation of
the layer's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_choice, check_number
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import unquantized
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, Form, Sparse, size_of, stored_floats


@dataclass(frozen=True)
class Options:
    """Either a quality or a density.

    quality : weights with |w| < quality * std(w) are removed; default 0.5.
    density : fraction of the weights to keep, those of largest magnitude (0 < density <= 1).
    scope : of the density: each "layer" for itself, or all layers of the step together ("global":
        a layer of small weights loses more; equal magnitudes at the limit are all kept).
    """

    quality: float | None = None
    density: float | None = None
    scope: str = "layer"

    def __post_init__(self) -> None:
        if self.quality is not None and self.density is not None:
            raise ValueError("quality and density exclude each other")
        if self.quality is not None:
            check_number("quality", self.quality, 0, 100)
        if self.density is not None:
            check_number("density", self.density, 0, 1)
        check_choice("scope", self.scope, ("layer", "global"))
        if self.scope == "global" and self.density is None:
            raise ValueError('scope = "global" is for density')


def global_threshold(forms: Sequence[Form], options: Sequence[Options]) -> float | None:
    """Return the magnitude from which on a weight is kept, where the step's scope is global."""
    scopes = {option.scope for option in options}
    if scopes == {"layer"}:
        return None
    densities = {option.density for option in options}
    if len(scopes) > 1 or len(densities) > 1:
        raise RecipeError(
            'scope = "global" is one density for all layers of a step',
            hint="leave out the options by type and by name, or give the layers steps of their own",
        )
    magnitude = np.concatenate(
        [np.abs(values).reshape(-1) for form in forms for values in stored_floats(form)]
    )
    count = round((options[0].density or 1) * sum(size_of(form.shape) for form in forms))
    if count >= magnitude.size:
        return 0.0
    return float(np.partition(magnitude, magnitude.size - max(count, 1))[-max(count, 1)])


@method("prune.magnitude", Options, survey=global_threshold)
def prune_magnitude(task: Task[Options]) -> Outcome:
    """Prune a Dense parameter, or prune a Sparse one of dense values further."""
    form, options = task.form, task.options
    weights = unquantized(form, task.name, "prune.magnitude").reshape(-1)
    magnitude = np.abs(weights)
    if options.density is None:
        quality = 0.5 if options.quality is None else options.quality
        threshold = quality * float(weights.std(dtype=np.float64))
        keep = magnitude >= threshold
    elif options.scope == "global":
        threshold = task.survey
        keep = magnitude >= threshold
    else:
        keep = _largest(magnitude, round(options.density * weights.size))
        threshold = float(magnitude[keep].min(initial=np.inf)) if keep.any() else 0.0
    # A zero is nothing to store whatever the threshold.
    positions = np.flatnonzero(keep & (weights != 0)).astype(np.int64)
    sparse = Sparse(form.shape, positions, Dense(weights[positions]))
    return Outcome(sparse, {"threshold": threshold, "density": sparse.density})


def _largest(magnitude: np.ndarray, count: int) -> np.ndarray:
    """Mask of the `count` largest; among equals the earlier positions win."""
    keep = np.zeros(magnitude.size, bool)
    keep[np.argsort(-magnitude, kind="stable")[:count]] = True
    return keep
