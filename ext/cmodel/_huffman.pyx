"""Canonical Huffman coding over the kernels in cm_huffman_*.c."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

import numpy as np

from cmodel._simd cimport cm_simd_use, current
from cmodel.errors import BadStream

ctypedef fused symbol_t:
    uint8_t
    uint16_t

cdef extern from "cm_fault.h" nogil:
    ctypedef struct cm_fault:
        size_t at
        const char *what

cdef extern from "cm_huffman.h" nogil:
    enum:
        CM_HUFFMAN_ALPHABET
        CM_HUFFMAN_TABLE_BYTES
        CM_HUFFMAN_MIN_CHUNK_LOG2
        CM_HUFFMAN_MAX_CHUNK_LOG2
        CM_HUFFMAN_SMALL
    ctypedef struct cm_huffman:
        uint8_t lengths[2048]
        unsigned alphabet
        unsigned used
    int cm_huffman_count(
        const void *symbols, size_t count, unsigned item, uint64_t *histogram, cm_fault *fault
    )
    int cm_huffman_build(const uint64_t *histogram, cm_huffman *code)
    size_t cm_huffman_table_put(const cm_huffman *code, uint8_t *dst)
    size_t cm_huffman_bound(
        const cm_huffman *code, const uint64_t *histogram, size_t count, unsigned chunk_log2
    )
    int cm_huffman_encode(
        const cm_huffman *code, const void *symbols, size_t count, unsigned item,
        unsigned chunk_log2, uint8_t *dst, size_t *size
    )
    int cm_huffman_open(
        const uint8_t *src, size_t size, size_t count, unsigned item, cm_huffman *code,
        cm_fault *fault
    )
    int cm_huffman_decode(
        const cm_huffman *code, const uint8_t *src, size_t size, unsigned item, int threads,
        void *dst, cm_fault *fault
    )

cm_simd_use(current())

ALPHABET = CM_HUFFMAN_ALPHABET
SMALL = CM_HUFFMAN_SMALL
MIN_CHUNK_LOG2 = CM_HUFFMAN_MIN_CHUNK_LOG2
MAX_CHUNK_LOG2 = CM_HUFFMAN_MAX_CHUNK_LOG2


@cython.boundscheck(False)
def encode(const symbol_t[::1] symbols not None, unsigned chunk_log2):
    cdef uint64_t histogram[2048]
    cdef cm_huffman code
    cdef cm_fault fault
    cdef size_t count = symbols.shape[0], size = 0
    cdef uint8_t *space
    cdef int status
    with nogil:
        status = cm_huffman_count(&symbols[0], count, sizeof(symbol_t), histogram, &fault)
    if status:
        raise ValueError(
            f"symbol {symbols[<Py_ssize_t>fault.at]} is outside the alphabet of 2048"
        )
    if cm_huffman_build(histogram, &code):
        raise MemoryError
    space = <uint8_t *>malloc(cm_huffman_bound(&code, histogram, count, chunk_log2))
    if space == NULL:
        raise MemoryError
    try:
        with nogil:
            status = cm_huffman_encode(
                &code, &symbols[0], count, sizeof(symbol_t), chunk_log2, space, &size
            )
        if status:
            raise ValueError(f"chunk_log2 {chunk_log2} is out of range")
        return PyBytes_FromStringAndSize(<char *>space, <Py_ssize_t>size)
    finally:
        free(space)


@cython.boundscheck(False)
def decode(const uint8_t[::1] data not None, size_t count, dtype, int threads):
    cdef cm_huffman code
    cdef cm_fault fault
    cdef int status
    cdef unsigned item = np.dtype(dtype).itemsize
    cdef uint8_t[::1] out
    memset(&fault, 0, sizeof(fault))
    with nogil:
        status = cm_huffman_open(&data[0], data.shape[0], count, item, &code, &fault)
    if not status:
        symbols = np.empty(count, dtype)
        out = symbols.view(np.uint8)
        with nogil:
            status = cm_huffman_decode(
                &code, &data[0], data.shape[0], item, threads, &out[0], &fault
            )
    if status:
        raise BadStream(
            f"the Huffman stream is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
    return symbols


@cython.boundscheck(False)
def code_lengths(const uint64_t[::1] histogram not None):
    cdef cm_huffman code
    cdef uint64_t counts[2048]
    cdef Py_ssize_t i
    memset(counts, 0, sizeof(counts))
    for i in range(histogram.shape[0]):
        counts[i] = histogram[i]
    if cm_huffman_build(counts, &code):
        raise MemoryError
    return np.array([code.lengths[i] for i in range(code.alphabet)], np.uint8)


@cython.boundscheck(False)
def encoded_size(const uint64_t[::1] histogram not None):
    cdef cm_huffman code
    cdef uint64_t counts[2048]
    cdef uint8_t table[CM_HUFFMAN_TABLE_BYTES]
    cdef uint64_t bits = 0
    cdef Py_ssize_t i
    memset(counts, 0, sizeof(counts))
    for i in range(histogram.shape[0]):
        counts[i] = histogram[i]
    if cm_huffman_build(counts, &code):
        raise MemoryError
    if code.used > 1:
        for i in range(code.alphabet):
            bits += counts[i] * code.lengths[i]
    return cm_huffman_table_put(&code, table) + (bits + 7) // 8
