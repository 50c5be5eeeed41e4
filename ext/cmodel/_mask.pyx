"""Adaptive binary coding of positions over the kernel in cm_mask.c."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memset

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

import numpy as np

from cmodel.errors import BadStream

cdef extern from "cm_fault.h" nogil:
    ctypedef struct cm_fault:
        size_t at
        const char *what

cdef extern from "cm_mask.h" nogil:
    size_t CM_MASK_MAX_SIZE
    ctypedef struct cm_mask:
        size_t rows, columns, count, period
    int cm_mask_encode(
        const cm_mask *mask, const int64_t *positions, uint8_t **data, size_t *size
    )
    int cm_mask_decode(
        const uint8_t *src, size_t size, cm_mask *mask, int64_t *positions, cm_fault *fault
    )

MAX_SIZE = CM_MASK_MAX_SIZE


@cython.boundscheck(False)
def encode(const int64_t[::1] positions not None, size_t rows, size_t columns, size_t period):
    cdef cm_mask mask
    cdef uint8_t *data = NULL
    cdef size_t size = 0
    cdef int64_t previous = -1
    cdef Py_ssize_t i
    mask.rows, mask.columns, mask.count, mask.period = rows, columns, positions.shape[0], period
    for i in range(positions.shape[0]):
        if positions[i] <= previous or positions[i] >= <int64_t>(rows * columns):
            raise ValueError(
                f"positions increase strictly within 0..{rows * columns - 1}; "
                f"entry {i} is {positions[i]}"
            )
        previous = positions[i]
    with nogil:
        status = cm_mask_encode(&mask, &positions[0], &data, &size)
    if status:
        raise MemoryError
    try:
        return PyBytes_FromStringAndSize(<char *>data, <Py_ssize_t>size)
    finally:
        free(data)


@cython.boundscheck(False)
def decode(const uint8_t[::1] data not None, size_t rows, size_t columns, size_t count):
    cdef cm_mask mask
    cdef cm_fault fault
    mask.rows, mask.columns, mask.count, mask.period = rows, columns, count, 0
    memset(&fault, 0, sizeof(fault))
    positions = np.empty(count, np.int64)
    cdef int64_t[::1] out = positions
    with nogil:
        status = cm_mask_decode(&data[0], data.shape[0], &mask, &out[0], &fault)
    if status:
        raise BadStream(
            f"the mask stream is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
    return positions
