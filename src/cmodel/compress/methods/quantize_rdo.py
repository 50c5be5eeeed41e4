"""Rate-aware quantization with error feedback: a grid, and indices chosen for responses and bits.

See `cmodel.compress.feedback` for the algorithm. Zeros are cheap, so that pruning falls out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmodel.compress import feedback
from cmodel.compress.matrix import Doubles, damped, from_rows, to_rows
from cmodel.compress.options import check_bool, check_choice, check_int, check_number, check_range
from cmodel.compress.registry import (
    GRAM,
    GRAM_AND_CROSS,
    GRAM_AND_FISHER,
    GRAM_AND_SENSITIVITY,
    Needs,
    Outcome,
    Task,
    method,
)
from cmodel.compress.statistics import Statistics
from cmodel.compress.supports import Supports
from cmodel.compress.values import unquantized
from cmodel.container import size_of_form
from cmodel.errors import RecipeError
from cmodel.net import Layer
from cmodel.tensors import Dense, FloatArray, Form, IntArray, Linear, Sparse, Trellis
from cmodel.tensors.trellis import levels

# Of the mean sensitivity, added to each output's where each has a step.
_FLOOR = 0.02
# Prices of a bit; a higher one is better spent on a coarser grid, see docs/concepts/rdo.md.
_RATE, _TRELLIS_RATE = 0.1, 0.002
# The least part of zeros in a tensor that was pruned.
_PRUNED = 0.1


@dataclass(frozen=True)
class Options:
    """How fine the grid is, and what a bit may cost.

    step : of the grid, in standard deviations of the layer's weights; 0.2 where no knob is given.
    knob : the step is this over the root of (mean sensitivity of the outputs * mean energy of the
        inputs): one number makes all layers' errors cost the same.
    rate_weight : error that a bit may cost, in squared steps of a mean input; None is 0.1, and
        0.002 with a trellis.
    damp : this times the mean input energy is added to that of every input.
    keep_zeros : whether zeros of a Dense form stay; those of a Sparse one always do. "auto": where
        they are at least a tenth of the tensor. So many are there because somebody pruned it.
    passes : how often all indices are chosen; the code lengths are those of the pass before.
    trellis : dependent quantization: less error for the same bits. A Sparse form becomes one of all
        its zeros. "auto": where it can be and no zeros stay, because between many of them its two
        grids gain nothing; what is Sparse then becomes one of all its zeros where that takes fewer
        bytes.
    granularity : "tensor", or "channel": a scale for each output, fitted to its responses; with
        `knob` its step too follows the output's own sensitivity.
    fisher : share of the Fisher information of the net's output in what errors cost, from 0 to 1;
        the rest is that of the responses. Counts for convolutions: it knows that an error of a
        weight acts at all positions at once.
    shrink : how much less inputs are taken to depend on each other than they did on the images: all
        but the diagonal of the matrix is multiplied by 1 - shrink (J. Schäfer, K. Strimmer 2005).
    correct : aim at the responses of the net before the step, from the inputs that the layer has
        with all layers before it quantized: a pass over at most 256 images for each layer.
    """

    step: float | None = None
    knob: float | None = None
    rate_weight: float | None = None
    damp: float = 0.01
    keep_zeros: bool | Literal["auto"] = "auto"
    passes: int = 2
    trellis: bool | Literal["auto"] = False
    granularity: str = "tensor"
    fisher: float = 0.0
    shrink: float = 0.0
    correct: bool = False

    def __post_init__(self) -> None:
        if self.step is not None and self.knob is not None:
            raise ValueError("step and knob exclude each other")
        if self.step is not None:
            check_number("step", self.step, 0, 100)
        if self.knob is not None:
            check_number("knob", self.knob, 0, 1e6)
        if self.rate_weight is not None:
            check_number("rate_weight", self.rate_weight, 0, 1000)
        check_number("damp", self.damp, 0, 1)
        check_range("fisher", self.fisher, 0, 1)
        check_range("shrink", self.shrink, 0, 1)
        if self.keep_zeros != "auto":
            check_bool("keep_zeros", self.keep_zeros)
        check_int("passes", self.passes, 1, 100)
        if self.trellis != "auto":
            check_bool("trellis", self.trellis)
        check_bool("correct", self.correct)
        check_choice("granularity", self.granularity, ("tensor", "channel"))


def _needs(options: Options) -> Needs:
    needs = GRAM if options.knob is None else GRAM_AND_SENSITIVITY
    if options.fisher:
        needs = GRAM_AND_FISHER
    return needs | GRAM_AND_CROSS if options.correct else needs


@method("quantize.rdo", Options, needs=_needs)
def quantize_rdo(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, or a Sparse one of dense values."""
    options, gram = task.options, _cost(task)
    weights = unquantized(task.form, task.name, "quantize.rdo")
    _check(task, options)
    rows = np.ascontiguousarray(to_rows(task.layer, weights))
    steps, keep = _at_least(_steps(task, rows), rows), _kept(task, rows)
    trellis = options.trellis is True
    if options.trellis == "auto":
        trellis = keep is None and not _is_transposed(task.layer)
    weight = options.rate_weight or (_TRELLIS_RATE if trellis else _RATE)
    if options.correct:
        rows = _corrected(rows, task.inputs, options.damp)
    factor = feedback.factorize(gram, options.damp, ordered=not trellis)
    quantized = feedback.quantize(
        rows,
        factor,
        steps,
        rate_weight=weight,
        passes=options.passes,
        trellis=trellis,
        supports=None if keep is None else Supports.of(gram, options.damp, keep, factor.scale),
        threads=task.threads,
    )
    values: NDArray[np.generic] = quantized.indices
    if trellis:
        matrix = quantized.indices.reshape(-1, rows.shape[2])
        values, steps = levels(matrix).reshape(rows.shape), steps / 2
    # In steps, so that no size of the weights is too large to be squared.
    outputs = rows.shape[0] * rows.shape[1]
    per_output = np.broadcast_to(steps, outputs).reshape(*rows.shape[:2], 1)
    units = rows * (1 / per_output).astype(np.float32)
    factors, error = feedback.fit_scales(
        units, values, gram, options.granularity == "channel", task.threads
    )
    scales = np.minimum(steps * factors, np.finfo(np.float32).max).astype(np.float32)
    indices = _of_shape(task.layer, quantized.indices, weights)
    facts = {
        "bits": quantized.bits,
        "step": float(np.exp(np.log(scales.astype(np.float64)).mean())),
        "density": np.count_nonzero(indices) / max(indices.size, 1),
        "response_error": error,
    }
    if trellis:
        return Outcome(Trellis(Dense(scales), indices), facts)
    form = _form(task.form, scales, indices)
    if options.trellis == "auto" and isinstance(form, Sparse):
        form = min((form, _dense(scales, indices)), key=size_of_form)
    return Outcome(form, facts)


def _cost(task: Task[Options]) -> Doubles:
    """Return the matrices (G, K, K) whose quadratic forms say what errors of rows cost."""
    options, gram, fisher = task.options, task.inputs.gram, task.inputs.fisher
    if fisher is not None and options.fisher:
        level, other = (float(np.einsum("gkk->", matrix)) for matrix in (gram, fisher))
        if level and other:
            gram = (1 - options.fisher) * gram + options.fisher * (level / other) * fisher
    if not options.shrink:
        return gram
    shrunk: Doubles = (1 - options.shrink) * gram
    diagonal = np.arange(gram.shape[1])
    shrunk[:, diagonal, diagonal] = gram[:, diagonal, diagonal]
    return shrunk


def _corrected(rows: FloatArray, inputs: Statistics, damp: float) -> FloatArray:
    """Return the weights whose responses to the inputs x are nearest to those of `rows` to y.

    y are the inputs before the step. The least squares solution is rows E[y xᵀ] E[x xᵀ]⁻¹; the
    damping, on both matrices, keeps it near `rows` where the inputs tell little.
    """
    if inputs.cross is None:
        raise AssertionError("a correction without the inputs before the step")
    wanted = damped(inputs.gram, damp)
    given = inputs.cross + (wanted - inputs.gram)
    moved = np.empty_like(rows)
    for group in range(len(rows)):
        factor = linalg.cho_factor(wanted[group], check_finite=False)
        shift = linalg.cho_solve(factor, given[group].T, check_finite=False).T
        moved[group] = rows[group] @ shift
    return moved


def _check(task: Task[Options], options: Options) -> None:
    if _is_transposed(task.layer) and (options.trellis is True or options.granularity == "channel"):
        raise RecipeError(
            f"`quantize.rdo`: the outputs of `{task.name}` are no rows: it is transposed",
            hint='set granularity = "tensor" and trellis = false for this layer',
        )
    if (
        isinstance(task.form, Sparse)
        and options.granularity == "channel"
        and options.trellis is not True
    ):
        raise RecipeError(
            f"`quantize.rdo`: `{task.name}` has no scale for each output: it is stored sparsely",
            hint='set granularity = "tensor" for this layer',
        )


def _is_transposed(layer: Layer) -> bool:
    return layer.type == "InnerProduct" and bool(layer.param.inner_product_param.transpose)


def _steps(task: Task[Options], rows: FloatArray) -> Doubles:
    """Return the wanted step, (1,) or one for each output."""
    options = task.options
    if options.knob is None:
        return np.array([(options.step or 0.2) * _deviation(rows, task.form)])
    sensitivity = task.inputs.sensitivity
    if sensitivity is None:
        raise AssertionError(f"`{task.name}` came without its sensitivity")
    mean = float(sensitivity.mean())
    gram = task.inputs.gram
    energy = float(np.einsum("gkk->", gram)) / max(gram.shape[0] * gram.shape[1], 1)
    # What has no influence gets the step of a small one: it is that only on these images.
    step = np.array([options.knob / np.sqrt(max(mean * energy, 1e-30))])
    if options.granularity == "tensor" or not mean:
        return step
    steps: Doubles = step * np.sqrt(mean / (sensitivity + _FLOOR * mean))
    return steps


def _deviation(rows: FloatArray, form: Form) -> float:
    """Return the root mean square of the weights that are stored."""
    count = form.values.shape[0] if isinstance(form, Sparse) else rows.size
    return float(np.sqrt(np.square(rows, dtype=np.float64).sum() / max(count, 1)))


def _at_least(steps: Doubles, rows: FloatArray) -> Doubles:
    """Return the steps, or the least ones that indices and float32 allow."""
    largest = float(np.abs(rows).max()) if rows.size else 0.0
    limits = np.finfo(np.float32)
    least = max(largest / feedback.TOP, 4 * float(limits.tiny))
    return np.clip(steps, least, float(limits.max)) if largest else np.ones_like(steps)


def _kept(task: Task[Options], rows: FloatArray) -> NDArray[np.bool_] | None:
    """Return which weights (G, R, K) may be other than zero; None for all."""
    form = task.form
    if isinstance(form, Sparse):
        ones = Dense(np.ones(form.values.shape, np.float32))
        stored = Sparse(form.shape, form.positions, ones, form.block)
        return np.ascontiguousarray(to_rows(task.layer, stored.to_dense()) != 0)
    keep = task.options.keep_zeros
    if keep == "auto":
        keep = bool(np.count_nonzero(rows) <= (1 - _PRUNED) * rows.size)
    return rows != 0 if keep else None


def _of_shape(layer: Layer, indices: feedback.Indices, weights: FloatArray) -> IntArray:
    small = not indices.size or (int(indices.min()) >= -128 and int(indices.max()) <= 127)
    # Indices have 16 bits: float32 holds them.
    shaped = from_rows(layer, indices.astype(np.float32), weights.shape)
    return shaped.astype(np.int8 if small else np.int16)


def _form(form: Form, scales: FloatArray, indices: IntArray) -> Form:
    if not isinstance(form, Sparse):
        return _dense(scales, indices)
    height, width = form.block
    if form.block == (1, 1):
        # Zeros that the rate was worth are no longer stored.
        positions = form.positions[indices.reshape(-1)[form.positions] != 0]
        values = indices.reshape(-1)[positions]
    else:
        positions, columns = form.positions, indices[0].size
        grid = indices.reshape(len(indices) // height, height, columns // width, width)
        row, column = np.divmod(positions, columns // width)
        values = grid.transpose(0, 2, 1, 3)[row, column].reshape(-1)
    return Sparse(form.shape, positions, _dense(scales, values), form.block)


def _dense(scales: FloatArray, indices: IntArray) -> Form:
    return Linear(Dense(scales), np.zeros(scales.shape, np.int32), indices)
