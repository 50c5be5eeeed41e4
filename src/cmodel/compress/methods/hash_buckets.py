"""Hashed weights: a hash of its position tells which of B shared values a weight takes.

W. Chen, J. Wilson, S. Tyree, K. Weinberger, Y. Chen, "Compressing Neural Networks with the Hashing
Trick", 2015, equation 3: V_ij = w_h(i,j), and equation 7 with a sign hash: V_ij = w_h(i,j) xi(i,j).
The paper trains the shared values; for given weights the best in the mean square are the means of
w * xi over each bucket.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_bool, check_int, check_number
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import relative_error, unpruned
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, Hashed
from cmodel.tensors.hashing import buckets_and_signs

# Weights that are added up at a time.
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Options:
    """How many values are shared.

    ratio : buckets as a fraction of the weights; 0.125 where `buckets` is not given either.
    buckets : their number, at most that of the weights.
    signed : whether a second hash gives each weight a sign.
    """

    ratio: float | None = None
    buckets: int | None = None
    signed: bool = True

    def __post_init__(self) -> None:
        if self.ratio is not None and self.buckets is not None:
            raise ValueError("ratio and buckets exclude each other")
        if self.ratio is not None:
            check_number("ratio", self.ratio, 0, 1)
        if self.buckets is not None:
            check_int("buckets", self.buckets, 1, 1 << 31)
        check_bool("signed", self.signed)


@method("hash.buckets", Options)
def hash_buckets(task: Task[Options]) -> Outcome:
    """Hash a Dense parameter; its buckets may be quantized by a later step."""
    options = task.options
    weights = unpruned(task.form, task.name, "hash.buckets")
    if not weights.size:
        return Outcome(task.form)
    count = options.buckets or max(round((options.ratio or 0.125) * weights.size), 1)
    if count > weights.size:
        raise RecipeError(
            f"`{task.name}` has {weights.size:,} weights, fewer than the {count:,} buckets",
            hint="options may be given by layer name",
        )
    seed = int(task.rng.integers(1 << 32))
    index, negative = buckets_and_signs(0, weights.size, count, seed)
    sums, uses = np.zeros(count), np.zeros(count, np.int64)
    flat = weights.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        values = flat[part].astype(np.float64)
        if options.signed:
            np.negative(values, where=negative[part], out=values)
        sums += np.bincount(index[part], values, count)
        uses += np.bincount(index[part], minlength=count)
    means = (sums / np.maximum(uses, 1)).astype(np.float32) + np.float32(0)
    form = Hashed(weights.shape, Dense(means), seed, options.signed)
    return Outcome(form, {"buckets": count, "error": relative_error(form.to_dense(), weights)})
