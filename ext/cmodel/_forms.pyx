"""Decoding tensor forms over the kernels in cm_forms.c."""

from libc.stdint cimport int8_t, int16_t, uint8_t, uint16_t, uint32_t

cimport cython

ctypedef fused index_t:
    uint8_t
    uint16_t

ctypedef fused trellis_t:
    int8_t
    int16_t

cdef extern from "cm_forms.h" nogil:
    void cm_codebook_decode(
        const uint32_t *table, size_t entries, const void *index, unsigned item, size_t run,
        size_t count, int threads, uint32_t *out
    )
    uint32_t cm_index_max(const void *index, unsigned item, size_t count, int threads)
    void cm_trellis_decode(
        const float *scales, const void *ints, unsigned item, size_t run, size_t rows,
        size_t columns, int threads, float *out
    )


def index_max(const index_t[::1] index not None, int threads):
    cdef uint32_t largest
    cdef size_t count = index.shape[0]
    if not count:
        return 0
    with nogil:
        largest = cm_index_max(&index[0], sizeof(index_t), count, threads)
    return largest


@cython.boundscheck(False)
def codebook_decode(
    const uint32_t[:, ::1] table not None, const index_t[::1] index not None, int threads,
    uint32_t[::1] out not None
):
    cdef size_t count = index.shape[0], groups = table.shape[0]
    if not count:
        return
    if not groups or count % groups or <size_t>out.shape[0] != count:
        raise ValueError("the groups do not divide the indices, or the output has another size")
    # The kernel trusts the indices.
    if index_max(index, threads) >= <uint32_t>table.shape[1]:
        raise ValueError("an index lies outside the codebook")
    with nogil:
        cm_codebook_decode(
            &table[0, 0], table.shape[1], &index[0], sizeof(index_t), count // groups, count,
            threads, &out[0]
        )


@cython.boundscheck(False)
def trellis_decode(
    const float[::1] scales not None, const trellis_t[:, ::1] ints not None, int threads,
    float[::1] out not None
):
    cdef size_t rows = ints.shape[0], columns = ints.shape[1], groups = scales.shape[0]
    cdef size_t count = rows * columns
    if not count:
        return
    if not groups or count % groups or <size_t>out.shape[0] != count:
        raise ValueError("the groups do not divide the integers, or the output has another size")
    with nogil:
        cm_trellis_decode(
            &scales[0], &ints[0, 0], sizeof(trellis_t), count // groups, rows, columns, threads,
            &out[0]
        )
