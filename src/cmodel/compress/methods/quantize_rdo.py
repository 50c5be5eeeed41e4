"""Rate-aware quantization with error feedback: a grid, and indices chosen for responses and bits.

See `cmodel.compress.feedback` for the algorithm. Zeros are cheap, so that pruning falls out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.compress import feedback
from cmodel.compress.matrix import from_rows, to_rows
from cmodel.compress.options import check_bool, check_choice, check_int, check_number
from cmodel.compress.registry import GRAM, Outcome, Task, method
from cmodel.compress.values import unquantized
from cmodel.errors import RecipeError
from cmodel.net import Layer
from cmodel.tensors import Dense, FloatArray, Form, IntArray, Linear, Sparse


@dataclass(frozen=True)
class Options:
    """How fine the grid is, and what a bit may cost.

    step : of the grid, in standard deviations of the layer's weights.
    rate_weight : error that a bit may cost, in squared steps of a mean input.
    damp : this times the mean input energy is added to that of every input.
    keep_zeros : whether zeros of a Dense form stay; those of a Sparse one always do.
    passes : how often all indices are chosen; the code lengths are those of the pass before.
    granularity : "tensor", or "channel": a scale for each output, fitted to its responses.
    """

    step: float = 0.2
    rate_weight: float = 0.1
    damp: float = 0.01
    keep_zeros: bool = False
    passes: int = 2
    granularity: str = "tensor"

    def __post_init__(self) -> None:
        check_number("step", self.step, 0, 100)
        check_number("rate_weight", self.rate_weight, 0, 1000)
        check_number("damp", self.damp, 0, 1)
        check_bool("keep_zeros", self.keep_zeros)
        check_int("passes", self.passes, 1, 100)
        check_choice("granularity", self.granularity, ("tensor", "channel"))


@method("quantize.rdo", Options, needs=GRAM)
def quantize_rdo(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, or a Sparse one of dense values."""
    options, gram = task.options, task.inputs.gram
    weights = unquantized(task.form, task.name, "quantize.rdo")
    _check(task, options)
    rows = np.ascontiguousarray(to_rows(task.layer, weights))
    step = _at_least(options.step * _deviation(rows, task.form), rows)
    quantized = feedback.quantize(
        rows,
        feedback.factorize(gram, options.damp, ordered=True),
        np.array([step]),
        rate_weight=options.rate_weight,
        passes=options.passes,
        keep=_kept(task, rows),
        threads=task.threads,
    )
    # In steps, so that no size of the weights is too large to be squared.
    factors, error = feedback.fit_scales(
        rows / np.float32(step), quantized.indices, gram, options.granularity == "channel"
    )
    scales = np.minimum(step * factors, np.finfo(np.float32).max).astype(np.float32)
    indices = _of_shape(task.layer, quantized.indices, weights)
    facts = {
        "bits": quantized.bits,
        "step": step,
        "density": np.count_nonzero(indices) / max(indices.size, 1),
        "response_error": error,
    }
    return Outcome(_form(task.form, scales, indices), facts)


def _check(task: Task[Options], options: Options) -> None:
    if options.granularity == "tensor":
        return
    transposed = (
        task.layer.type == "InnerProduct" and task.layer.param.inner_product_param.transpose
    )
    if transposed or isinstance(task.form, Sparse):
        what = "its weights are transposed" if transposed else "it is stored sparsely"
        raise RecipeError(
            f"`quantize.rdo`: `{task.name}` has no scale for each output: {what}",
            hint='set granularity = "tensor" for this layer',
        )


def _deviation(rows: FloatArray, form: Form) -> float:
    """Return the root mean square of the weights that are stored."""
    count = form.values.shape[0] if isinstance(form, Sparse) else rows.size
    return float(np.sqrt(np.square(rows, dtype=np.float64).sum() / max(count, 1)))


def _at_least(step: float, rows: FloatArray) -> float:
    """Return the step, or the least one that indices and float32 allow."""
    largest = float(np.abs(rows).max()) if rows.size else 0.0
    limits = np.finfo(np.float32)
    step = min(max(step, largest / feedback.TOP, float(limits.tiny)), float(limits.max))
    return step if largest else 1.0


def _kept(task: Task[Options], rows: FloatArray) -> NDArray[np.bool_] | None:
    """Return which weights (G, R, K) may be other than zero; None for all."""
    form = task.form
    if isinstance(form, Sparse):
        ones = Dense(np.ones(form.values.shape, np.float32))
        stored = Sparse(form.shape, form.positions, ones, form.block)
        return np.ascontiguousarray(to_rows(task.layer, stored.to_dense()) != 0)
    return rows != 0 if task.options.keep_zeros else None


def _of_shape(layer: Layer, indices: feedback.Indices, weights: FloatArray) -> IntArray:
    small = not indices.size or (int(indices.min()) >= -128 and int(indices.max()) <= 127)
    # Indices have 16 bits: float32 holds them.
    shaped = from_rows(layer, indices.astype(np.float32), weights.shape)
    return shaped.astype(np.int8 if small else np.int16)


def _form(form: Form, scales: FloatArray, indices: IntArray) -> Form:
    zeros = np.zeros(scales.shape, np.int32)
    if not isinstance(form, Sparse):
        return Linear(Dense(scales), zeros, indices)
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
    return Sparse(form.shape, positions, Linear(Dense(scales), zeros, values), form.block)
