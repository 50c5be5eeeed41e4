"""rANS coding over the kernels in cm_rans_*.c."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

import numpy as np

from cmodel._simd cimport cm_simd_use, current
from cmodel.errors import BadStream, ChecksumMismatch

ctypedef fused symbol_t:
    uint8_t
    uint16_t

cdef extern from "cm_status.h" nogil:
    enum: CM_CHECKSUM

cdef extern from "cm_fault.h" nogil:
    ctypedef struct cm_fault:
        size_t at
        const char *what

cdef extern from "cm_symbols.h" nogil:
    int cm_symbols_count(
        const void *symbols, size_t count, unsigned item, uint64_t *histogram, cm_fault *fault
    )

cdef extern from "cm_rans.h" nogil:
    enum:
        CM_RANS_ALPHABET
        CM_RANS_TABLE_BYTES
    ctypedef struct cm_rans:
        uint16_t frequency[2048]
        unsigned alphabet
        unsigned used
    ctypedef struct cm_rans_table:
        pass
    int cm_rans_build(const uint64_t *histogram, cm_rans_table *table, cm_rans *model)
    size_t cm_rans_table_put(const cm_rans_table *table, uint8_t *dst)
    int cm_rans_table_get(
        const uint8_t *src, size_t size, cm_rans *model, size_t *used, cm_fault *fault
    )
    uint64_t cm_rans_cost(const cm_rans *model, const uint64_t *histogram)
    size_t cm_rans_bound(size_t count, unsigned chunk_log2)
    size_t cm_rans_encode(
        const cm_rans *model, const void *symbols, size_t count, unsigned item,
        unsigned chunk_log2, int wide, uint8_t *dst
    )
    int cm_rans_open(
        const uint8_t *src, size_t size, size_t at, size_t count, unsigned item, cm_rans *model,
        cm_fault *fault
    )
    int cm_rans_decode(
        const cm_rans *model, const uint8_t *src, size_t size, unsigned item, int threads,
        void *dst, cm_fault *fault
    )

# Thirty-two lanes cost 96 bytes a chunk: they are for chunks of so many bytes or more.
cdef enum:
    WIDE_BYTES = 1 << 15

cm_simd_use(current())

ALPHABET = CM_RANS_ALPHABET


@cython.boundscheck(False)
def encode(
    const symbol_t[::1] symbols not None, unsigned chunk_log2, int lanes, const uint8_t[::1] table
):
    """The table and the payload; with a `table` of others the payload alone. `lanes` 0: choose."""
    cdef uint64_t histogram[2048]
    cdef uint8_t own[CM_RANS_TABLE_BYTES]
    cdef cm_rans model
    cdef cm_fault fault
    cdef size_t count = symbols.shape[0], size = 0, chunks = (count >> chunk_log2) + 1
    cdef uint8_t *space
    with nogil:
        status = cm_symbols_count(&symbols[0], count, sizeof(symbol_t), histogram, &fault)
    if status:
        raise ValueError(
            f"symbol {symbols[<Py_ssize_t>fault.at]} is outside the alphabet of 2048"
        )
    if table is None:
        size = _build(histogram, &model, own)
    else:
        _read_table(table, &model)
        _check_symbols(histogram, &model)
    cdef bint wide = lanes > 1
    if not lanes:
        wide = cm_rans_cost(&model, histogram) >> 19 >= chunks * WIDE_BYTES
    space = <uint8_t *>malloc(cm_rans_bound(count, chunk_log2))
    if space == NULL:
        raise MemoryError
    try:
        with nogil:
            bytes = cm_rans_encode(
                &model, &symbols[0], count, sizeof(symbol_t), chunk_log2, wide, space
            )
        return PyBytes_FromStringAndSize(<char *>own, <Py_ssize_t>size) + (
            PyBytes_FromStringAndSize(<char *>space, <Py_ssize_t>bytes)
        )
    finally:
        free(space)


@cython.boundscheck(False)
def decode(
    const uint8_t[::1] data not None, size_t count, dtype, int threads, const uint8_t[::1] table
):
    cdef cm_rans model
    cdef cm_fault fault
    cdef size_t at = 0
    cdef int status = 0
    cdef unsigned item = np.dtype(dtype).itemsize
    cdef uint8_t[::1] out
    memset(&fault, 0, sizeof(fault))
    if table is None:
        status = cm_rans_table_get(&data[0], data.shape[0], &model, &at, &fault)
    else:
        _read_table(table, &model)
    if not status:
        status = cm_rans_open(&data[0], data.shape[0], at, count, item, &model, &fault)
    if not status:
        symbols = np.empty(count, dtype)
        out = symbols.view(np.uint8)
        with nogil:
            status = cm_rans_decode(
                &model, &data[0], data.shape[0], item, threads, &out[0], &fault
            )
    if status:
        kind = ChecksumMismatch if status == CM_CHECKSUM else BadStream
        raise kind(
            f"the rANS stream is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
    return symbols


def table_size(const uint8_t[::1] data not None):
    """Bytes of the table that a stream begins with."""
    cdef cm_rans model
    return _table_get(data, &model)


def table_of(const uint64_t[::1] histogram not None):
    cdef cm_rans model
    cdef uint64_t counts[2048]
    cdef uint8_t table[CM_RANS_TABLE_BYTES]
    _copy(histogram, counts)
    size = _build(counts, &model, table)
    return PyBytes_FromStringAndSize(<char *>table, <Py_ssize_t>size)


def frequencies(const uint8_t[::1] table not None):
    cdef cm_rans model
    _read_table(table, &model)
    return np.array([model.frequency[i] for i in range(model.alphabet)], np.uint16)


def cost(const uint64_t[::1] histogram not None, const uint8_t[::1] table not None):
    """Bits, in 1/65536."""
    cdef cm_rans model
    cdef uint64_t counts[2048]
    _copy(histogram, counts)
    _read_table(table, &model)
    _check_symbols(counts, &model)
    return cm_rans_cost(&model, counts)


cdef size_t _build(const uint64_t *histogram, cm_rans *model, uint8_t *space) except? 0:
    cdef cm_rans_table table
    if cm_rans_build(histogram, &table, model):
        raise MemoryError
    return cm_rans_table_put(&table, space)


cdef int _copy(const uint64_t[::1] histogram, uint64_t *counts) except -1:
    cdef Py_ssize_t i
    memset(counts, 0, 2048 * sizeof(uint64_t))
    for i in range(histogram.shape[0]):
        counts[i] = histogram[i]
    return 0


@cython.boundscheck(False)
cdef size_t _table_get(const uint8_t[::1] data, cm_rans *model) except? 0:
    cdef cm_fault fault
    cdef size_t used = 0
    if cm_rans_table_get(&data[0], data.shape[0], model, &used, &fault):
        raise BadStream(
            f"the rANS table is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
    return used


cdef int _read_table(const uint8_t[::1] table, cm_rans *model) except -1:
    cdef size_t used = _table_get(table, model)
    if used != <size_t>table.shape[0]:
        raise BadStream(
            "the rANS table is damaged: bytes after its end", where=f"byte {used} of it"
        )
    return 0


cdef int _check_symbols(const uint64_t *histogram, const cm_rans *model) except -1:
    for s in range(2048):
        if histogram[s] and not model.frequency[s]:
            raise ValueError(f"symbol {s} has no code in the table")
    return 0
