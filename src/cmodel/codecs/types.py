"""Types that all codecs share."""

from __future__ import annotations

from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview | mmap | NDArray[np.uint8]
Bytes = NDArray[np.uint8]
Unsigned = NDArray[np.unsignedinteger[Any]]


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
