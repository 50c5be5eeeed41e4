"""Fixed point: weights become integers times a scale.

Range-based uniform quantization, for example R. Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference", 2018, sections 2.1 and 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cmodel.compress.options import check_choice, check_int
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import GRANULARITIES, groups_of, stored_values, with_stored_values
from cmodel.tensors import Dense, FloatArray, Linear


@dataclass(frozen=True)
class Options:
    """How the grid is laid.

    bits : 2 to 16 bits for an integer.
    scheme : "symmetric" (zero at 0, range of the largest magnitude) or "affine" (minimum to
        maximum, zero exactly representable).
    granularity : "tensor" for one scale, "channel" for one for each index of axis 0, "group" for
        one for each `group_size` successive weights.
    group_size : has to divide the number of weights.
    """

    bits: int = 8
    scheme: str = "symmetric"
    granularity: str = "channel"
    group_size: int = 64

    def __post_init__(self) -> None:
        check_int("bits", self.bits, 2, 16)
        check_choice("scheme", self.scheme, ("symmetric", "affine"))
        check_choice("granularity", self.granularity, GRANULARITIES)
        check_int("group_size", self.group_size, 1, 1 << 30)


@method("quantize.linear", Options)
def quantize_linear(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, or with one scale the stored values of a Sparse or Hashed one."""
    values = stored_values(task.form, task.name, "quantize.linear")
    options = task.options
    if not isinstance(task.form, Dense):
        options = replace(options, granularity="tensor")
    groups = groups_of(values.shape, options.granularity, options.group_size, task.name)
    return Outcome(with_stored_values(task.form, _quantize(values, options, groups)))


def _quantize(weights: FloatArray, options: Options, groups: int) -> Linear:
    flat = weights.reshape(groups, -1).astype(np.float64)
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
