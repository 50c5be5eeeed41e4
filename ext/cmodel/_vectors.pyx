"""k-means of vectors over the kernels in cm_vectors.c."""

from libc.stdint cimport uint16_t

cimport cython

import numpy as np

from cmodel._simd cimport cm_simd_use, current

cdef extern from "cm_vectors.h" nogil:
    int cm_nearest(
        const float *points, size_t n, size_t d, const float *words, size_t k, uint16_t *codes
    )
    int cm_lloyd_vectors(
        const float *points, size_t n, size_t d, float *words, size_t k, size_t most, double tol,
        uint16_t *codes, size_t *rounds
    )

cm_simd_use(current())

cdef enum:
    MAX_CODEWORDS = 65536
    MAX_POINTS = 0xFFFFFFFF


def _rows(rows, what):
    array = np.ascontiguousarray(rows)
    if array.dtype != np.float32 or array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"{what} are float32 (n, d), d > 0, not {array.shape} {array.dtype}")
    return array


def _checked(points, words):
    points, words = _rows(points, "points"), _rows(words, "codewords")
    if points.shape[1] != words.shape[1]:
        raise ValueError(f"points of {points.shape[1]} numbers, codewords of {words.shape[1]}")
    if not 1 <= len(words) <= MAX_CODEWORDS or len(points) > MAX_POINTS:
        raise ValueError(f"1 to {MAX_CODEWORDS} codewords, at most {MAX_POINTS} points")
    return points, words


@cython.boundscheck(False)
def nearest(points, words):
    points, words = _checked(points, words)
    cdef const float[:, ::1] view = points
    cdef const float[:, ::1] codewords = words
    codes = np.empty(len(points), np.uint16)
    cdef uint16_t[::1] out = codes
    cdef int status = 0
    if view.shape[0]:
        with nogil:
            status = cm_nearest(
                &view[0, 0], view.shape[0], view.shape[1], &codewords[0, 0], codewords.shape[0],
                &out[0]
            )
    if status:
        raise MemoryError
    return codes


@cython.boundscheck(False)
def lloyd(points, words, size_t max_iter=25, double tol=0.0):
    points, words = _checked(points, words)
    if not len(points):
        raise ValueError("there are no points")
    words = words.copy()
    cdef const float[:, ::1] view = points
    cdef float[:, ::1] codewords = words
    codes = np.empty(len(points), np.uint16)
    cdef uint16_t[::1] out = codes
    cdef size_t rounds = 0
    cdef int status
    with nogil:
        status = cm_lloyd_vectors(
            &view[0, 0], view.shape[0], view.shape[1], &codewords[0, 0], codewords.shape[0],
            max_iter, tol, &out[0], &rounds
        )
    if status:
        raise MemoryError
    return words, codes, rounds
