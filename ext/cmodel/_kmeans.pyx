"""One-dimensional k-means over the kernels in cm_kmeans.c and cm_assign.c."""

from libc.stdint cimport uint8_t, uint16_t

cimport cython

import numpy as np

from cmodel._simd cimport cm_simd_use, current

cdef extern from "cm_kmeans.h" nogil:
    enum:
        CM_SUMS
    int cm_sort_float32(float *values, size_t n)
    void cm_prefix_sums(const float *values, size_t n, double *sums)
    size_t cm_lloyd(
        const float *values, const double *sums, size_t n, double *centroids, size_t k,
        size_t max_iter, double tol, size_t *bounds
    )
    int cm_kmeans_exact(
        const double *values, const double *weights, size_t n, size_t k, size_t *bounds
    )
    size_t cm_kmeans_groups(
        const float *values, size_t n, size_t limit, double *means, double *weights, int *exact
    )
    void cm_thresholds(const float *centroids, size_t k, float *thresholds)

cdef extern from "cm_simd.h" nogil:
    ctypedef struct cm_kernels:
        void (*assign8)(
            const float *values, size_t n, const float *thresholds, size_t k, uint8_t *out
        ) noexcept nogil
        void (*assign16)(
            const float *values, size_t n, const float *thresholds, size_t k, uint16_t *out
        ) noexcept nogil
    cm_kernels cm_kernel

cm_simd_use(current())

cdef enum:
    # Values gathered for the exact search: its time grows with them, times the centroids.
    GROUPS = 16384
    MAX_CENTROIDS = 65536
    MAX_EXACT = 4096


def _float32(values, what):
    array = np.ascontiguousarray(values)
    if array.dtype != np.float32 or array.ndim != 1:
        raise ValueError(f"{what} are a 1-D float32 array, not {array.ndim}-D {array.dtype}")
    return array


def _ascending(values):
    array = _float32(values, "sorted values")
    # In ascending order every infinity and NaN stands at one of the ends.
    if array.size and not (np.isfinite(array[0]) and np.isfinite(array[array.size - 1])):
        raise ValueError("values are finite")
    return array


@cython.boundscheck(False)
def sort_float32(values):
    result = _float32(values, "values").copy()
    cdef float[::1] view = result
    cdef int status
    with nogil:
        status = cm_sort_float32(&view[0], view.shape[0])
    if status:
        raise MemoryError
    return result


@cython.boundscheck(False)
def lloyd(values, centroids, size_t max_iter=50, double tol=0.0):
    cdef const float[::1] view = _ascending(values)
    start = np.array(centroids, np.float64)
    if start.ndim != 1 or not start.size or not bool((start[1:] >= start[:start.size - 1]).all()):
        raise ValueError("centroids are a 1-D array of at least one entry in ascending order")
    cdef double[::1] centres = start
    cdef double[::1] sums = np.empty(view.shape[0] // CM_SUMS + 1)
    cdef size_t[::1] bounds = np.empty(start.size + 1, np.uintp)
    cdef size_t rounds
    with nogil:
        cm_prefix_sums(&view[0], view.shape[0], &sums[0])
        rounds = cm_lloyd(
            &view[0], &sums[0], view.shape[0], &centres[0], centres.shape[0], max_iter, tol,
            &bounds[0]
        )
    return start.astype(np.float32), rounds


@cython.boundscheck(False)
def exact(values, Py_ssize_t k):
    array = _ascending(values)
    cdef const float[::1] view = array
    if not 1 <= k <= MAX_EXACT or not array.size:
        raise ValueError(f"exact k-means takes 1 to {MAX_EXACT} centroids and at least one value")
    cdef double[::1] means = np.empty(GROUPS)
    cdef double[::1] weights = np.empty(GROUPS)
    cdef size_t[::1] bounds = np.empty(k + 1, np.uintp)
    cdef size_t groups, i
    cdef Py_ssize_t j
    cdef double weight, total
    cdef int whole, status
    with nogil:
        groups = cm_kmeans_groups(
            &view[0], view.shape[0], GROUPS, &means[0], &weights[0], &whole
        )
        k = min(k, <Py_ssize_t>groups)
        status = cm_kmeans_exact(&means[0], &weights[0], groups, k, &bounds[0])
    if status:
        raise MemoryError
    centroids = np.empty(k)
    cdef double[::1] centres = centroids
    for j in range(k):
        weight = total = 0
        for i in range(bounds[j], bounds[j + 1]):
            weight += weights[i]
            total += weights[i] * means[i]
        centres[j] = total / weight
    if whole:
        return centroids.astype(np.float32)
    return lloyd(array, centroids, 100, 0.0)[0]


@cython.boundscheck(False)
def assign(values, centroids):
    cdef const float[::1] view = _float32(values, "values")
    all_centroids = _float32(centroids, "centroids")
    if not 1 <= all_centroids.size <= MAX_CENTROIDS:
        raise ValueError(f"1 to {MAX_CENTROIDS} centroids, not {all_centroids.size}")
    if not np.isfinite(all_centroids).all() or bool((np.diff(all_centroids) < 0).any()):
        raise ValueError("centroids are finite and in ascending order")
    # Of equal centroids the first one gets all values.
    distinct, first = np.unique(all_centroids, return_index=True)
    cdef const float[::1] centres = distinct
    cdef size_t n = view.shape[0], k = centres.shape[0]
    cdef float[::1] limits = np.empty(k, np.float32)
    cdef uint8_t[::1] out8
    cdef uint16_t[::1] out16
    indices = np.empty(n, np.uint8 if all_centroids.size <= 256 else np.uint16)
    cm_thresholds(&centres[0], k, &limits[0])
    if all_centroids.size <= 256:
        out8 = indices
        with nogil:
            cm_kernel.assign8(&view[0], n, &limits[0], k - 1, &out8[0])
    else:
        out16 = indices
        with nogil:
            cm_kernel.assign16(&view[0], n, &limits[0], k - 1, &out16[0])
    if distinct.size < all_centroids.size:
        indices = first.astype(indices.dtype)[indices]
    return indices
