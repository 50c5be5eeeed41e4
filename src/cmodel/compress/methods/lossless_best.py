"""The smallest form that keeps every bit: nothing is approximated.

Finds by itself what a file happens to hold: few distinct values (weights that were quantized
before), zeros (weights that were pruned before), values that a half float holds exactly. Each
candidate is really coded, and the fewest bytes win.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.registry import Outcome, Task, method
from cmodel.container import size_of_form
from cmodel.tensors import MAX_ENTRIES, Codebook, Dense, Form, Sparse

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Options:
    """There is nothing to choose."""


@method("lossless.best", Options, exact=True)
def lossless_best(task: Task[Options]) -> Outcome:
    """Return the smallest of all forms that decode to the same 32-bit words."""
    words = np.ascontiguousarray(task.form.to_dense()).view(np.uint32)
    # What the parameter is held in now comes first: a tie changes nothing.
    forms = [task.form, *_tensor_forms(words)]
    return Outcome(min(forms, key=size_of_form))


def _tensor_forms(words: Words) -> Iterator[Form]:
    yield from _value_forms(words)
    flat = words.reshape(-1)
    # A -0 is a value; only +0 is nothing.
    positions = np.flatnonzero(flat).astype(np.int64)
    if positions.size < flat.size:
        for values in _value_forms(flat[positions]):
            yield Sparse(words.shape, positions, values)


def _value_forms(words: Words) -> Iterator[Form]:
    yield _narrowest(words)
    distinct, inverse = np.unique(words, return_inverse=True)
    if not 0 < distinct.size <= min(MAX_ENTRIES, max(words.size - 1, 1)):
        return
    # In the order of the values, so that neighbouring indices are neighbouring values.
    order = np.argsort(distinct.view(np.float32), kind="stable")
    rank = np.empty(order.size, np.uint8 if order.size <= 256 else np.uint16)
    rank[order] = np.arange(order.size)
    indices: NDArray[Any] = rank[inverse.reshape(words.shape)]
    yield Codebook(_narrowest(distinct[order][None]), indices)


def _narrowest(words: Words) -> Dense:
    """Return the words in the narrowest float type that holds them exactly."""
    floats = words.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        halves = floats.astype(np.float16)
        if (halves.astype(np.float32).view(np.uint32) == words).all():
            return Dense(halves)
    if not (words & np.uint32(0xFFFF)).any():
        return Dense((words >> np.uint32(16)).astype(np.uint16))
    return Dense(floats)
