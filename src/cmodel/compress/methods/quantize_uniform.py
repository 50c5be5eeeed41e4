"""Entropy-constrained uniform quantization: a grid, and indices chosen for error and for bits.

P. Chou, T. Lookabaugh, R. Gray, "Entropy-Constrained Vector Quantization", 1989, equation 8: each
value takes the index that minimises |w - q|^2 + lambda * length(index), the code lengths follow the
histogram, and both are repeated. For a uniform grid of step D at high rate the error is D^2 / 12
and the rate h - log2 D, so that the slope lambda = -dE/dR = D^2 ln(2) / 6: what a bit may cost.
For weights as in S. Wiedemann et al., "DeepCABAC", 2020, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.options import check_int, check_number
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import stored_values, with_stored_values
from cmodel.tensors import Dense, FloatArray, Linear

# Indices have 16 bits.
_TOP = (1 << 15) - 1
_CHUNK = 1 << 20
# Values that code lengths and steps are found with; bisections for a step.
_SAMPLE = 1 << 20
_BISECTIONS = 20


@dataclass(frozen=True)
class Options:
    """How fine the grid is: by `step` or by `bits`; step = 0.2 where neither is given.

    step : of the grid, in standard deviations of the layer's weights.
    bits : mean bits of a weight (the entropy of the indices) that the step is chosen for.
    rate_weight : times the slope of the high-rate limit; near 0 it is rounding to nearest.
    iterations : rounds of choosing indices and measuring code lengths.
    """

    step: float | None = None
    bits: float | None = None
    rate_weight: float = 1.0
    iterations: int = 8

    def __post_init__(self) -> None:
        if self.step is not None and self.bits is not None:
            raise ValueError("step and bits exclude each other")
        if self.step is not None:
            check_number("step", self.step, 0, 100)
        if self.bits is not None:
            check_number("bits", self.bits, 0, 12)
        check_number("rate_weight", self.rate_weight, 0, 1000)
        check_int("iterations", self.iterations, 1, 1000)


@method("quantize.uniform", Options)
def quantize_uniform(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, or the stored values of a Sparse or Hashed one."""
    options = task.options
    values = stored_values(task.form, task.name, "quantize.uniform")
    flat = values.reshape(-1)
    deviation = float(np.sqrt(np.square(flat, dtype=np.float64).mean())) if flat.size else 0.0
    if not deviation or flat.min() == flat.max():
        # One index for all, without any error.
        indices = np.full(flat.shape, 1 if deviation else 0, np.int16)
        step = float(flat[0]) if deviation else 1.0
    elif options.bits is None:
        indices, step = choose(flat, deviation * (options.step or 0.2), options)
    else:
        indices, step = choose(flat, _step_for(flat, deviation, options), options)
    fits = not indices.size or int(np.abs(indices).max()) <= 127
    dtype = np.dtype(np.int8 if fits else np.int16)
    scale = np.array([step], np.float32)
    linear = Linear(
        Dense(scale), np.zeros(1, np.int32), indices.reshape(values.shape).astype(dtype)
    )
    return Outcome(with_stored_values(task.form, linear), {"bits": entropy(indices), "step": step})


def choose(flat: FloatArray, step: float, options: Options) -> tuple[NDArray[np.int16], float]:
    """Return the indices of the values (1-D), and the step, fitted to them by least squares."""
    step = max(step, float(np.abs(flat).max()) / _TOP)
    slope = options.rate_weight * np.log(2) / 6
    # The code lengths are those of a histogram: a part of the values tells it.
    units = flat[:: -(-flat.size // _SAMPLE)] / step
    some = np.rint(units).astype(np.int16)
    costs = slope * _code_lengths(some)
    for _ in range(options.iterations):
        better = _cheapest(units, costs)
        if (better == some).all():
            break
        some = better
        costs = slope * _code_lengths(some)
    chosen = np.empty(flat.shape, np.int16)
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        chosen[part] = _cheapest(flat[part] / step, costs)
    energy = float(np.square(chosen, dtype=np.float64).sum())
    if energy > 0:
        step = float(np.einsum("i,i->", flat, chosen, dtype=np.float64)) / energy
    return chosen, step


def entropy(indices: NDArray[np.int16]) -> float:
    """Return the mean bits of an index in an ideal code for their histogram."""
    counts = np.bincount(indices.astype(np.int64) + _TOP) if indices.size else np.zeros(1)
    frequency = counts[counts > 0] / max(indices.size, 1)
    return abs(float((frequency * np.log2(frequency)).sum()))


def _code_lengths(indices: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the bits of each index from -_TOP to _TOP; an unused one has those of half a use."""
    counts = np.bincount(indices.astype(np.int64) + _TOP, minlength=2 * _TOP + 1)
    bits: NDArray[np.float64] = -np.log2(np.maximum(counts, 0.5) / indices.size)
    return bits


def _cheapest(units: NDArray[np.floating], costs: NDArray[np.float64]) -> NDArray[np.int16]:
    near = np.rint(units).astype(np.int16)
    # Indices towards zero have shorter codes; further away nothing is gained.
    candidates = np.stack([near, near - np.sign(near), np.zeros_like(near)])
    total = np.square(units - candidates) + costs[candidates.astype(np.int64) + _TOP]
    best: NDArray[np.int16] = np.take_along_axis(candidates, total.argmin(axis=0)[None], axis=0)[0]
    return best


def _step_for(flat: FloatArray, deviation: float, options: Options) -> float:
    """Return the step whose indices have `options.bits` of entropy, by bisection."""
    sample = flat[:: -(-flat.size // (_SAMPLE // 4))]
    low, high = np.log(deviation * 1e-4), np.log(deviation * 100)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if entropy(choose(sample, float(np.exp(middle)), options)[0]) > (options.bits or 0):
            low = middle
        else:
            high = middle
    return float(np.exp(high))
