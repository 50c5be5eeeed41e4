"""Fixed point with stochastic rounding: a number of <IL, FL> bits for integer and fraction.

S. Gupta, A. Agrawal, K. Gopalakrishnan, P. Narayanan, "Deep Learning with Limited Numerical
Precision", 2015, section 3: with e = 2^-FL, Round(x) = floor(x) with probability
1 - (x - floor(x)) / e and floor(x) + e otherwise; Convert saturates to [-2^(IL-1), 2^(IL-1) - e].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_choice, check_int
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import stored_values, with_stored_values
from cmodel.tensors import Dense, Linear


@dataclass(frozen=True)
class Options:
    """The number format.

    bits : IL + FL, with the sign, 2 to 16.
    integer_bits : IL; may be negative, or beyond `bits`. Left out, the smallest one that saturates
        no weight.
    rounding : "stochastic", or "nearest" to compare with (ties go up).
    """

    bits: int = 8
    integer_bits: int | None = None
    rounding: str = "stochastic"

    def __post_init__(self) -> None:
        check_int("bits", self.bits, 2, 16)
        if self.integer_bits is not None:
            check_int("integer_bits", self.integer_bits, -64, 64)
        check_choice("rounding", self.rounding, ("stochastic", "nearest"))


@method("quantize.stochastic", Options)
def quantize_stochastic(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, or the stored values of a Sparse or Hashed one."""
    options = task.options
    values = stored_values(task.form, task.name, "quantize.stochastic")
    integer_bits = options.integer_bits
    if integer_bits is None:
        integer_bits = _integer_bits(float(np.abs(values).max(initial=0.0)), options.bits)
    fraction_bits = options.bits - integer_bits
    units = np.ldexp(values.astype(np.float64), fraction_bits)
    if options.rounding == "stochastic":
        lower = np.floor(units)
        units = lower + (task.rng.random(values.shape) < units - lower)
    else:
        units = np.floor(units + 0.5)
    top = 2 ** (options.bits - 1)
    saturated = int(np.count_nonzero((units < -top) | (units > top - 1)))
    dtype = np.dtype(np.int8 if options.bits <= 8 else np.int16)
    ints = np.clip(units, -top, top - 1).astype(dtype)
    step = np.array([np.ldexp(1.0, -fraction_bits)], np.float32)
    linear = Linear(Dense(step), np.zeros(1, np.int32), ints)
    facts = {
        "integer_bits": integer_bits,
        "fraction_bits": fraction_bits,
        "saturated": saturated,
    }
    return Outcome(with_stored_values(task.form, linear), facts)


def _integer_bits(largest: float, bits: int) -> int:
    """Return the smallest IL whose range holds `largest`, rounded to the nearest step."""
    if largest == 0:
        return 1
    # largest < 2^exponent, so IL = exponent + 1 holds it, but for what rounds up to 2^(IL-1).
    integer_bits = int(np.frexp(largest)[1]) + 1
    units = np.ldexp(largest, bits - integer_bits)
    if np.ceil(units) > 2 ** (bits - 1) - 1:
        integer_bits += 1
    # Steps smaller than a float32 has would not be stored as a scale.
    return max(integer_bits, bits - 126)
