"""Fixed point: weights become integers times a scale.

Range-based uniform quantization, for example R. Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference", 2018, sections 2.1 and 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_choice, check_int
from cmodel.compress.registry import Outcome, Task, method
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, FloatArray, Form, Linear, Sparse


@dataclass(frozen=True)
class Options:
    """How the grid is laid.

    bits : 2 to 16 bits for an integer.
    scheme : "symmetric" (zero at 0, range of the largest magnitude) or "affine" (minimum to
        maximum, zero exactly representable).
    granularity : "tensor" for one scale, "channel" for one for each index of axis 0.
    """

    bits: int = 8
    scheme: str = "symmetric"
    granularity: str = "channel"

    def __post_init__(self) -> None:
        check_int("bits", self.bits, 2, 16)
        check_choice("scheme", self.scheme, ("symmetric", "affine"))
        check_choice("granularity", self.granularity, ("tensor", "channel"))


@method("quantize.linear", Options)
def quantize_linear(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, or the stored values of a Sparse one (one scale for all)."""
    form = task.form
    match form:
        case Dense():
            return Outcome(_quantize(form.to_dense(), task.options))
        case Sparse(values=Dense()):
            return Outcome(_quantize_sparse(form, task.options))
        case _:
            raise RecipeError(f"`quantize.linear`: `{task.name}` is quantized already")


def _quantize_sparse(form: Sparse, options: Options) -> Form:
    values = form.values.to_dense()
    per_tensor = Options(options.bits, options.scheme, "tensor")
    return Sparse(form.shape, form.positions, _quantize(values, per_tensor))


def _quantize(weights: FloatArray, options: Options) -> Linear:
    rows = weights.shape[0] if weights.ndim else 1
    per_channel = options.granularity == "channel" and weights.ndim > 1 and weights.size > 0
    flat = weights.reshape(rows if per_channel else 1, -1).astype(np.float64)
    low = np.minimum(flat.min(axis=1, initial=0.0), 0.0)
    high = np.maximum(flat.max(axis=1, initial=0.0), 0.0)
    if options.scheme == "symmetric":
        top = 2 ** (options.bits - 1) - 1
        bottom = -top
        scales = np.maximum(-low, high) / top
        zeros = np.zeros(flat.shape[0], np.int32)
        dtype = np.dtype(np.int8 if options.bits <= 8 else np.int16)
    else:
        bottom, top = 0, 2**options.bits - 1
        scales = (high - low) / top
        dtype = np.dtype(np.uint8 if options.bits <= 8 else np.uint16)
    # Below float32's smallest normal a scale could round to zero or lose its precision.
    tiny = float(np.finfo(np.float32).tiny)
    scales32 = np.where(scales > tiny, scales, 1.0).astype(np.float32)
    exact = scales32.astype(np.float64)
    if options.scheme == "affine":
        zeros = np.clip(np.rint(-low / exact), bottom, top).astype(np.int32)
    ints = np.rint(flat / exact[:, None]) + zeros[:, None]
    ints = np.clip(ints, bottom, top).astype(dtype)
    return Linear(Dense(scales32), zeros, ints.reshape(weights.shape))
