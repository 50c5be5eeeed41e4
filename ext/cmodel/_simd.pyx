"""Chooses the SIMD level of the compiled modules once, at import (CMODEL_SIMD forces one)."""

import os

from cmodel.errors import UsageError

cdef extern from "cm_parallel.h":
    enum: CM_OPENMP

cdef cm_simd _level


cdef cm_simd current() noexcept:
    return _level


def available():
    return tuple(
        cm_simd_name(<cm_simd>i).decode() for i in range(CM_SIMD_LEVELS)
        if cm_simd_available(<cm_simd>i)
    )


def level():
    return cm_simd_name(_level).decode()


def openmp():
    return bool(CM_OPENMP)


cdef cm_simd _choose(str wanted) except *:
    if not wanted:
        return cm_simd_best()
    for i in range(CM_SIMD_LEVELS):
        if wanted == cm_simd_name(<cm_simd>i).decode():
            if cm_simd_available(<cm_simd>i):
                return <cm_simd>i
            break
    raise UsageError(
        f"this machine has no SIMD level `{wanted}`",
        where="environment variable CMODEL_SIMD",
        hint=f"unset it, or set it to one of: {', '.join(available())}",
    )


_level = _choose(os.environ.get("CMODEL_SIMD", ""))
