"""Bit packing over the kernels in cm_bitpack.c."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from cmodel.errors import BadStream

ctypedef fused unsigned_t:
    uint8_t
    uint16_t
    uint32_t

cdef extern from "cm_fault.h" nogil:
    ctypedef struct cm_fault:
        size_t at
        const char *what

cdef extern from "cm_bitpack.h" nogil:
    size_t cm_bitpack_size(size_t count, unsigned width)
    int cm_bitpack_encode(
        const void *src, size_t count, unsigned item, unsigned width, uint8_t *dst, cm_fault *fault
    )
    int cm_bitpack_decode(
        const uint8_t *src, size_t size, size_t count, unsigned item, unsigned width, void *dst,
        cm_fault *fault
    )


def encode(const unsigned_t[::1] ints not None, unsigned width):
    cdef size_t count = ints.shape[0]
    cdef cm_fault fault
    cdef int status = 0
    cdef bytes data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>cm_bitpack_size(count, width))
    cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(data)
    if count:
        with nogil:
            status = cm_bitpack_encode(&ints[0], count, sizeof(unsigned_t), width, dst, &fault)
    if status:
        raise ValueError(f"value {ints[<Py_ssize_t>fault.at]} needs more than {width} bits")
    return data


@cython.boundscheck(False)
def decode(const uint8_t[::1] data not None, unsigned width, unsigned_t[::1] out not None):
    cdef cm_fault fault
    cdef int status
    with nogil:
        # An empty buffer has no first element; its address is never read.
        status = cm_bitpack_decode(
            &data[0], data.shape[0], out.shape[0], sizeof(unsigned_t), width, &out[0], &fault
        )
    if status:
        raise BadStream(
            f"the packed stream is damaged: {fault.what.decode()}", where=f"byte {fault.at} of it"
        )
