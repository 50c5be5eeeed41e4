"""Canonical Huffman coding over the kernels in cm_huffman_*.c."""

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

cdef extern from "cm_chunks.h" nogil:
    enum:
        CM_CHUNKS_MIN_LOG2
        CM_CHUNKS_MAX_LOG2

cdef extern from "cm_huffman.h" nogil:
    enum:
        CM_HUFFMAN_ALPHABET
        CM_HUFFMAN_TABLE_BYTES
        CM_HUFFMAN_SMALL
    ctypedef struct cm_huffman:
        uint8_t lengths[2048]
        unsigned alphabet
        unsigned used
    int cm_huffman_build(const uint64_t *histogram, cm_huffman *code)
    size_t cm_huffman_table_put(const cm_huffman *code, uint8_t *dst)
    int cm_huffman_table_get(
        const uint8_t *src, size_t size, cm_huffman *code, size_t *used, cm_fault *fault
    )
    size_t cm_huffman_bound(
        const cm_huffman *code, const uint64_t *histogram, size_t count, unsigned chunk_log2
    )
    size_t cm_huffman_encode(
        const cm_huffman *code, const void *symbols, size_t count, unsigned item,
        unsigned chunk_log2, uint8_t *dst
    )
    int cm_huffman_open(
        const uint8_t *src, size_t size, size_t at, size_t count, unsigned item, cm_huffman *code,
        cm_fault *fault
    )
    int cm_huffman_decode(
        const cm_huffman *code, const uint8_t *src, size_t size, unsigned item, int threads,
        void *dst, cm_fault *fault
    )

cm_simd_use(current())

ALPHABET = CM_HUFFMAN_ALPHABET
SMALL = CM_HUFFMAN_SMALL
MIN_CHUNK_LOG2 = CM_CHUNKS_MIN_LOG2
MAX_CHUNK_LOG2 = CM_CHUNKS_MAX_LOG2


@cython.boundscheck(False)
def encode(const symbol_t[::1] symbols not None, unsigned chunk_log2, const uint8_t[::1] table):
    """The table and the payload; with a `table` of others the payload alone."""
    cdef uint64_t histogram[2048]
    cdef cm_huffman code
    cdef cm_fault fault
    cdef size_t count = symbols.shape[0], size = 0
    cdef uint8_t *space
    with nogil:
        status = cm_symbols_count(&symbols[0], count, sizeof(symbol_t), histogram, &fault)
    if status:
        raise ValueError(
            f"symbol {symbols[<Py_ssize_t>fault.at]} is outside the alphabet of 2048"
        )
    if table is None:
        _build(histogram, &code)
    else:
        _read_table(table, &code)
        _check_symbols(histogram, &code)
    space = <uint8_t *>malloc(
        CM_HUFFMAN_TABLE_BYTES + cm_huffman_bound(&code, histogram, count, chunk_log2)
    )
    if space == NULL:
        raise MemoryError
    try:
        if table is None:
            size = cm_huffman_table_put(&code, space)
        with nogil:
            size += cm_huffman_encode(
                &code, &symbols[0], count, sizeof(symbol_t), chunk_log2, space + size
            )
        return PyBytes_FromStringAndSize(<char *>space, <Py_ssize_t>size)
    finally:
        free(space)


@cython.boundscheck(False)
def decode(
    const uint8_t[::1] data not None, size_t count, dtype, int threads, const uint8_t[::1] table
):
    cdef cm_huffman code
    cdef cm_fault fault
    cdef size_t at = 0
    cdef int status = 0
    cdef unsigned item = np.dtype(dtype).itemsize
    cdef uint8_t[::1] out
    memset(&fault, 0, sizeof(fault))
    if table is None:
        status = cm_huffman_table_get(&data[0], data.shape[0], &code, &at, &fault)
    else:
        _read_table(table, &code)
    if not status:
        status = cm_huffman_open(&data[0], data.shape[0], at, count, item, &code, &fault)
    if not status:
        symbols = np.empty(count, dtype)
        out = symbols.view(np.uint8)
        with nogil:
            status = cm_huffman_decode(
                &code, &data[0], data.shape[0], item, threads, &out[0], &fault
            )
    if status:
        kind = ChecksumMismatch if status == CM_CHECKSUM else BadStream
        raise kind(
            f"the Huffman stream is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
    return symbols


@cython.boundscheck(False)
def table_size(const uint8_t[::1] data not None):
    """Bytes of the table that a stream begins with."""
    cdef cm_huffman code
    return _table_get(data, &code)


def code_lengths(const uint64_t[::1] histogram not None):
    cdef cm_huffman code
    cdef uint64_t counts[2048]
    _copy(histogram, counts)
    _build(counts, &code)
    return np.array([code.lengths[i] for i in range(code.alphabet)], np.uint8)


def table_of(const uint64_t[::1] histogram not None):
    cdef cm_huffman code
    cdef uint64_t counts[2048]
    cdef uint8_t table[CM_HUFFMAN_TABLE_BYTES]
    _copy(histogram, counts)
    _build(counts, &code)
    size = cm_huffman_table_put(&code, table)
    return PyBytes_FromStringAndSize(<char *>table, <Py_ssize_t>size)


def encoded_size(const uint64_t[::1] histogram not None, const uint8_t[::1] table):
    cdef cm_huffman code
    cdef uint64_t counts[2048]
    cdef uint8_t space[CM_HUFFMAN_TABLE_BYTES]
    cdef uint64_t bits = 0, size = 0
    cdef Py_ssize_t i
    _copy(histogram, counts)
    if table is None:
        _build(counts, &code)
        size = cm_huffman_table_put(&code, space)
    else:
        _read_table(table, &code)
        _check_symbols(counts, &code)
    if code.used > 1:
        for i in range(code.alphabet):
            bits += counts[i] * code.lengths[i]
    return size + (bits + 7) // 8


cdef int _build(const uint64_t *histogram, cm_huffman *code) except -1:
    if cm_huffman_build(histogram, code):
        raise MemoryError
    return 0


cdef int _copy(const uint64_t[::1] histogram, uint64_t *counts) except -1:
    cdef Py_ssize_t i
    memset(counts, 0, 2048 * sizeof(uint64_t))
    for i in range(histogram.shape[0]):
        counts[i] = histogram[i]
    return 0


@cython.boundscheck(False)
cdef size_t _table_get(const uint8_t[::1] data, cm_huffman *code) except? 0:
    cdef cm_fault fault
    cdef size_t used = 0
    if cm_huffman_table_get(&data[0], data.shape[0], code, &used, &fault):
        raise BadStream(
            f"the Huffman table is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
    return used


cdef int _read_table(const uint8_t[::1] table, cm_huffman *code) except -1:
    cdef size_t used = _table_get(table, code)
    if used != <size_t>table.shape[0]:
        raise BadStream(
            "the Huffman table is damaged: bytes after its end", where=f"byte {used} of it"
        )
    return 0


cdef int _check_symbols(const uint64_t *histogram, const cm_huffman *code) except -1:
    for s in range(2048):
        if histogram[s] and (s >= code.alphabet or not code.lengths[s]):
            raise ValueError(f"symbol {s} has no code in the table")
    return 0
