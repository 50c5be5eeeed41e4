"""The hash of `Hashed`: 32-bit arithmetic only, so that every language computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Murmur3's finalizer, a bijection on 32 bits (A. Appleby, public domain).
_FIRST = np.uint32(0x85EBCA6B)
_SECOND = np.uint32(0xC2B2AE35)
_GOLDEN = 0x9E3779B1


def mix(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the finalizer of each word, modulo 2^32."""
    values = values ^ (values >> np.uint32(16))
    values = values * _FIRST
    values = values ^ (values >> np.uint32(13))
    values = values * _SECOND
    return values ^ (values >> np.uint32(16))


def buckets_and_signs(
    first: int, last: int, buckets: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for elements `first` to `last` - 1 the bucket and whether the sign is negative.

    With h = mix(i XOR mix(seed + 0x9E3779B1)), all modulo 2^32, the bucket is h mod `buckets`, and
    the sign is negative where the highest bit of mix(h XOR 0x9E3779B1) is set.
    """
    start = mix(np.array([(seed + _GOLDEN) & 0xFFFFFFFF], np.uint32))
    hashed = mix(np.arange(first, last, dtype=np.int64).astype(np.uint32) ^ start)
    negative: NDArray[Any] = mix(hashed ^ np.uint32(_GOLDEN)) >> np.uint32(31)
    return (hashed % np.uint32(buckets)).astype(np.int64), negative.astype(bool)
