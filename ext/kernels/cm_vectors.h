/* k-means of vectors: Lloyd's algorithm, and the nearest of some codewords. */
#ifndef CM_VECTORS_H
#define CM_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "cm_status.h"

#define CM_LANES 8

/* Codewords of d numbers as the kernels read them: number j of all of them stands in
 * columns[j * stride ...], half of their squared length in halves. Behind the k-th the lengths are
 * infinite, up to `stride`, a multiple of CM_LANES. */
typedef struct {
    const float *columns, *halves;
    size_t k, d, stride;
} cm_codewords;

/* For each of n points (n, d): the codeword that is the nearest, of equally near ones the first,
 * and half of the squared distance less half of the point's squared length. Kernels of the dispatch
 * table, cm_simd.h. */
typedef void cm_nearest_kernel(const float *points, size_t n, const cm_codewords *words,
                               uint16_t *codes, float *scores);
cm_nearest_kernel cm_nearest_scalar;
#if defined(__x86_64__)
cm_nearest_kernel cm_nearest_avx2;
#endif

/* The nearest of `words` (k, d) for n points, 1 <= k <= 65536, d >= 1. */
cm_status cm_nearest(const float *points, size_t n, size_t d, const float *words, size_t k,
                     uint16_t *codes);

/* Lloyd's algorithm from `words` (k, d), which it changes. A codeword that no point is nearest to
 * moves to the point that is farthest from its own, as long as there is one that is not on it. It
 * ends after `most` rounds, when no point changes its codeword, or when the squared moves of the
 * codewords add up to at most `tol`. `codes` are those of the last words. */
cm_status cm_lloyd_vectors(const float *points, size_t n, size_t d, float *words, size_t k,
                           size_t most, double tol, uint16_t *codes, size_t *rounds);

#endif
