"""Types that all codecs share."""

from __future__ import annotations

from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Buffer = bytes | bytearray | memoryview | mmap | NDArray[np.uint8]
Bytes = NDArray[np.uint8]
Unsigned = NDArray[np.unsignedinteger[Any]]

# What the entropy coders have in common.
ALPHABET = 2048
CHUNK_LOG2S = range(12, 21)


def octets(data: Buffer) -> Bytes:
    """Return `data` as a 1-D uint8 array without copying it."""
    return np.frombuffer(data, np.uint8)


def contiguous(ints: Unsigned, *dtypes: type[np.unsignedinteger[Any]]) -> Unsigned:
    """Return `ints` laid out for the kernels, or raise ValueError where it is of no such dtype."""
    native_dtype = ints.dtype.newbyteorder("=")
    if ints.ndim != 1 or native_dtype not in [np.dtype(dtype) for dtype in dtypes]:
        names = ", ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(f"needs a 1-D array of {names}, not {ints.ndim}-D {ints.dtype}")
    return np.ascontiguousarray(ints, dtype=native_dtype)


def native(dtype: object, *dtypes: type[np.unsignedinteger[Any]]) -> np.dtype[Any]:
    """Return `dtype` in native byte order, or raise ValueError where it is none of `dtypes`."""
    result = np.dtype(dtype).newbyteorder("=")  # type: ignore[call-overload]
    if result not in [np.dtype(one) for one in dtypes]:
        names = ", ".join(np.dtype(one).name for one in dtypes)
        raise ValueError(f"dtype is one of {names}, not {result}")
    return result  # type: ignore[no-any-return]


def counts_of(histogram: ArrayLike) -> NDArray[np.uint64]:
    """Return a histogram as the kernels take it, or raise ValueError where it is none."""
    counts = np.ascontiguousarray(histogram, dtype=np.uint64)
    if counts.ndim != 1 or counts.size > ALPHABET:
        raise ValueError(f"a histogram is 1-D with up to {ALPHABET} counts")
    return counts


def check_chunk_log2(chunk_log2: int) -> None:
    """Raise ValueError where chunks cannot have 2**chunk_log2 symbols."""
    if chunk_log2 not in CHUNK_LOG2S:
        raise ValueError(f"chunk_log2 is {CHUNK_LOG2S[0]} to {CHUNK_LOG2S[-1]}, not {chunk_log2}")


def positions_of(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return positions as the kernels take them, or raise ValueError where they are none."""
    if positions.ndim != 1 or positions.dtype != np.int64:
        raise ValueError(
            f"positions are a 1-D int64 array, not {positions.ndim}-D {positions.dtype}"
        )
    return np.ascontiguousarray(positions)
