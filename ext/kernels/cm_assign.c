/* How many thresholds lie below each value. */
#include "cm_kmeans.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define GROUP 8

/* Branchless binary search, a few values at once so that their loads overlap. */
#define ASSIGN(name, type)                                                                       \
    void name(const float *values, size_t n, const float *thresholds, size_t k, type *out) {      \
        for (size_t i = 0; i < n; i += GROUP) {                                                   \
            size_t group = n - i < GROUP ? n - i : GROUP, base[GROUP] = {0};                      \
            float value[GROUP] = {0};                                                             \
            for (size_t g = 0; g < group; g++) value[g] = values[i + g];                          \
            size_t length = k;                                                                    \
            for (; length > 1; length -= length / 2)                                              \
                for (size_t g = 0; g < GROUP; g++)                                                \
                    base[g] += value[g] > thresholds[base[g] + length / 2 - 1] ? length / 2 : 0;  \
            for (size_t g = 0; g < group; g++)                                                    \
                out[i + g] = (type)(base[g] + (length && value[g] > thresholds[base[g]]));        \
        }                                                                                         \
    }

ASSIGN(cm_assign8_scalar, uint8_t)
ASSIGN(cm_assign16_scalar, uint16_t)

#if defined(__x86_64__)

/* Up to here comparing with every threshold is quicker than searching. */
#define MAX_LINEAR 64

__attribute__((target("avx2"))) void cm_assign8_avx2(const float *values, size_t n,
                                                     const float *thresholds, size_t k,
                                                     uint8_t *out) {
    if (k > MAX_LINEAR) {
        cm_assign8_scalar(values, n, thresholds, k, out);
        return;
    }
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 v[4];
        __m256i count[4];
        for (int j = 0; j < 4; j++) {
            v[j] = _mm256_loadu_ps(values + i + 8 * (size_t)j);
            count[j] = _mm256_setzero_si256();
        }
        for (size_t t = 0; t < k; t++) {
            __m256 limit = _mm256_broadcast_ss(thresholds + t);
            for (int j = 0; j < 4; j++) {
                __m256 above = _mm256_cmp_ps(v[j], limit, _CMP_GT_OQ);
                count[j] = _mm256_sub_epi32(count[j], _mm256_castps_si256(above));
            }
        }
        __m256i low = _mm256_packus_epi32(count[0], count[1]);
        __m256i high = _mm256_packus_epi32(count[2], count[3]);
        __m256i bytes = _mm256_packus_epi16(low, high);
        /* Packing works within 128-bit halves; this puts the groups of four back in order. */
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), bytes);
    }
    cm_assign8_scalar(values + i, n - i, thresholds, k, out + i);
}

#endif
