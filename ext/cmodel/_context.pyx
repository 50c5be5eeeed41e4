"""Adaptive coding of matrices of small integers over the kernel in cm_context.c."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

from cmodel._simd cimport cm_simd_use, current

from cmodel.errors import BadStream

cm_simd_use(current())

ctypedef fused integer_t:
    uint8_t
    uint16_t

cdef extern from "cm_status.h" nogil:
    int CM_MEMORY

cdef extern from "cm_fault.h" nogil:
    ctypedef struct cm_fault:
        size_t at
        const char *what

cdef extern from "cm_context.h" nogil:
    ctypedef struct cm_context:
        size_t columns
        uint32_t zero
        size_t width, period
        int trellis
    int cm_context_encode(
        const cm_context *matrix, const void *ints, unsigned item, size_t count, uint8_t **data,
        size_t *size
    )
    size_t cm_context_columns(const uint8_t *src, size_t size, unsigned item, size_t count)
    int cm_context_decode(
        const uint8_t *src, size_t size, void *ints, unsigned item, size_t count, cm_fault *fault
    )


@cython.boundscheck(False)
def encode(
    const integer_t[::1] ints not None, size_t columns, uint32_t zero, size_t width, size_t period,
    bint trellis
):
    cdef cm_context matrix
    cdef uint8_t *data = NULL
    cdef size_t size = 0
    cdef size_t count = ints.shape[0]
    if not count:
        return b""
    if not columns or count % columns:
        raise ValueError("the columns do not divide the integers")
    matrix.columns, matrix.zero, matrix.trellis = columns, zero, trellis
    matrix.width, matrix.period = width, period
    with nogil:
        status = cm_context_encode(&matrix, &ints[0], sizeof(integer_t), count, &data, &size)
    if status:
        raise MemoryError
    try:
        return PyBytes_FromStringAndSize(<char *>data, <Py_ssize_t>size)
    finally:
        free(data)


@cython.boundscheck(False)
def columns_of(const uint8_t[::1] data not None, size_t count, unsigned item):
    cdef size_t size = data.shape[0]
    return cm_context_columns(&data[0] if size else NULL, size, item, count)


@cython.boundscheck(False)
def decode(const uint8_t[::1] data not None, integer_t[::1] out not None):
    cdef cm_fault fault
    cdef size_t size = data.shape[0], count = out.shape[0]
    cdef const uint8_t *source = &data[0] if size else NULL
    cdef void *target = &out[0] if count else NULL
    memset(&fault, 0, sizeof(fault))
    with nogil:
        status = cm_context_decode(source, size, target, sizeof(integer_t), count, &fault)
    if status == CM_MEMORY:
        raise MemoryError
    if status:
        raise BadStream(
            f"the context stream is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
