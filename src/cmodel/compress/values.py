"""Which part of a form a method works on, and why another one cannot be worked on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cmodel.errors import RecipeError
from cmodel.tensors import Dense, FloatArray, Form, Hashed, Shape, Sparse, size_of

CAME_SO = "a net that came quantized is packed as it is by `--preset lossless`"
GRANULARITIES = ("tensor", "channel", "group")


def stored_values(form: Form, name: str, method: str) -> FloatArray:
    """Return the floats that may still be quantized: all, those of a sparse form, or buckets.

    Raises
    ------
    RecipeError : they are quantized already.
    """
    match form:
        case Dense():
            return form.to_dense()
        case Sparse(values=Dense() as values):
            return values.to_dense()
        case Hashed(buckets=Dense() as buckets):
            return buckets.to_dense()
        case _:
            raise RecipeError(
                f"`{method}`: `{name}` is quantized already",
                hint=f"leave one of the two steps out, or select different layers; {CAME_SO}",
            )


def with_stored_values(form: Form, values: Form) -> Form:
    """Return the form with other stored values, of the shape of the old ones."""
    match form:
        case Sparse():
            return replace(form, values=values)
        case Hashed():
            return replace(form, buckets=values)
        case _:
            return values


def unquantized(form: Form, name: str, method: str) -> FloatArray:
    """Return the whole tensor, Dense or pruned, for a method that has to come early.

    Raises
    ------
    RecipeError : the tensor is quantized.
    """
    if isinstance(form, Dense) or (isinstance(form, Sparse) and isinstance(form.values, Dense)):
        return form.to_dense()
    raise RecipeError(
        f"`{method}` comes before quantization: `{name}` is quantized already",
        hint=f"put the step first; {CAME_SO}",
    )


def unpruned(form: Form, name: str, method: str) -> FloatArray:
    """Return the whole tensor, for a method that codes all of it.

    Raises
    ------
    RecipeError : the tensor is pruned or quantized.
    """
    if isinstance(form, Sparse):
        raise RecipeError(
            f"`{method}` codes zeros like all other values: pruning `{name}` before is lost",
            hint="leave the pruning step out, or quantize with `quantize.kmeans`, which keeps it",
        )
    if not isinstance(form, Dense):
        raise RecipeError(
            f"`{method}`: `{name}` is quantized already",
            hint=f"leave one of the two steps out, or select different layers; {CAME_SO}",
        )
    return form.to_dense()


def groups_of(shape: Shape, granularity: str, group_size: int, name: str) -> int:
    """Return how many groups a tensor is cut into: one, its rows, or pieces of `group_size`.

    Raises
    ------
    RecipeError : the pieces do not come out even.
    """
    size = size_of(shape)
    if granularity == "tensor" or not size:
        return 1
    if granularity == "channel":
        return shape[0] if len(shape) > 1 else 1
    if size % group_size:
        raise RecipeError(
            f"group_size {group_size} does not divide the {size:,} weights of `{name}`",
            hint=f"{nearest_divisor(size, group_size)} does",
        )
    return size // group_size


def nearest_divisor(number: int, wanted: int) -> int:
    """Return the divisor of `number` that is nearest to `wanted`, the smaller of two as near."""
    below = next(d for d in range(min(wanted, number), 0, -1) if number % d == 0)
    above = next((d for d in range(wanted, 2 * wanted - below) if number % d == 0), below)
    return above if above - wanted < wanted - below else below


def relative_error(approximation: NDArray[np.floating], exact: NDArray[np.floating]) -> float:
    """Return |approximation - exact| / |exact| in the Euclidean norm; 0 for an all-zero tensor."""
    size = float(np.linalg.norm(exact))
    return float(np.linalg.norm(approximation - exact)) / size if size else 0.0
