"""Half precision: float16 or bfloat16, rounded to nearest, ties to even.

IEEE 754-2008, section 4.3.1 (roundTiesToEven) and the binary16 format; bfloat16 is the upper half
of a float32 (D. Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cmodel.compress.options import check_choice
from cmodel.compress.registry import Outcome, Task, method
from cmodel.errors import RecipeError
from cmodel.tensors import (
    Codebook,
    Dense,
    FloatArray,
    Form,
    Hashed,
    Linear,
    Product,
    Sparse,
    Trellis,
)


@dataclass(frozen=True)
class Options:
    """format : "f16" (11 significant bits, up to 65,504) or "bf16" (8, float32's range)."""

    format: str = "f16"

    def __post_init__(self) -> None:
        check_choice("format", self.format, ("f16", "bf16"))


@method("cast.half", Options)
def cast_half(task: Task[Options]) -> Outcome:
    """Round the floats that a form stores: values, centroids, scales, codewords, buckets."""
    return Outcome(_cast(task.form, task))


def _cast(form: Form, task: Task[Options]) -> Form:
    match form:
        case Dense():
            return Dense(_rounded(form.to_dense(), task))
        case Sparse():
            return replace(form, values=_cast(form.values, task))
        case Codebook():
            return replace(form, centroids=_cast(form.centroids, task))
        case Product():
            return replace(form, codebooks=_cast(form.codebooks, task))
        case Hashed():
            return replace(form, buckets=_cast(form.buckets, task))
        case Linear() | Trellis():
            scales = _cast(form.scales, task)
            if ((scales.to_dense() == 0) & (form.scales.to_dense() != 0)).any():
                raise RecipeError(
                    f"`cast.half`: a scale of `{task.name}` would round to zero as f16",
                    hint='format = "bf16" has the range of float32',
                )
            return replace(form, scales=scales)


def _rounded(values: FloatArray, task: Task[Options]) -> np.ndarray:
    positive = values + np.float32(0)
    if task.options.format == "bf16":
        words = positive.view(np.uint32)
        # To the nearest, of two as near the even one; a finite value may round to infinity.
        odd = (words >> np.uint32(16)) & np.uint32(1)
        half = ((words + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
        widened = (half.astype(np.uint32) << np.uint32(16)).view(np.float32)
    else:
        with np.errstate(over="ignore"):
            half = positive.astype(np.float16)
        widened = half.astype(np.float32)
    if np.isinf(widened).any():
        largest = float(np.abs(positive).max())
        raise RecipeError(
            f"`cast.half`: `{task.name}` holds {largest:g}, beyond the range of "
            f"{task.options.format}",
            hint='format = "bf16" has the range of float32' if half.dtype == np.float16 else None,
        )
    # What is too small for the format becomes zero, of either sign.
    half[widened == 0] = 0
    return half
