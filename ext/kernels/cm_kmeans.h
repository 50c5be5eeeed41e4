/* One-dimensional k-means on sorted values, and the nearest centroid of values in any order. */
#ifndef CM_KMEANS_H
#define CM_KMEANS_H

#include <stddef.h>
#include <stdint.h>

#include "cm_status.h"

/* Sorts `values` (no NaN) by radix; -0 comes before +0. */
cm_status cm_sort_float32(float *values, size_t n);

/* sums[i] = values[0] + ... + values[CM_SUMS * i - 1], added in this order; n / CM_SUMS + 1
 * entries. */
#define CM_SUMS 64
void cm_prefix_sums(const float *sorted, size_t n, double *sums);

/* Lloyd's algorithm on sorted values and centroids in ascending order. A value that is equally near
 * to two belongs to the lower; an empty cluster keeps its centroid. It ends after max_iter rounds,
 * when no value changes cluster, or when no centroid moves by more than `tol`. `bounds` is working
 * space of k + 1 entries. Returns the number of rounds. */
size_t cm_lloyd(const float *sorted, const double *sums, size_t n, double *centroids, size_t k,
                size_t max_iter, double tol, size_t *bounds);

/* The k-means optimum for n weighted values in ascending order, k <= n <= 65536, by dynamic
 * programming. Writes the first value of each cluster and after them n: k + 1 entries. */
cm_status cm_kmeans_exact(const double *values, const double *weights, size_t n, size_t k,
                          size_t *bounds);

/* Gathers sorted values into at most `limit` groups: all distinct ones if they are so few
 * (*exact = 1), else bins of equal width. Writes mean and number of each; returns the groups. */
size_t cm_kmeans_groups(const float *sorted, size_t n, size_t limit, double *means, double *weights,
                        int *exact);

/* The k - 1 limits between k centroids in strictly ascending order: value v belongs to cluster
 * #{j : v > thresholds[j]}. */
void cm_thresholds(const float *centroids, size_t k, float *thresholds);

/* Number of thresholds below each value: kernels of the dispatch table, cm_simd.h. */
void cm_assign8_scalar(const float *values, size_t n, const float *thresholds, size_t k,
                       uint8_t *out);
void cm_assign16_scalar(const float *values, size_t n, const float *thresholds, size_t k,
                        uint16_t *out);
#if defined(__x86_64__)
void cm_assign8_avx2(const float *values, size_t n, const float *thresholds, size_t k,
                     uint8_t *out);
#endif

#endif
