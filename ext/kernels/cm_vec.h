/* Vectors of floats for the kernels of the engine, which are written once and compiled for each
 * level. The file that includes this defines CM_LEVEL (0 scalar, 2 AVX2, 512 AVX-512).
 *
 * V: a vector of LANES floats. TARGET: attributes of a function that uses it. NAME(x): x with the
 * level's suffix. The scalar level uses the compiler's own vectors of 4, which any machine has; its
 * multiplication and addition are rounded apart, so the levels differ in the last bits. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

#if CM_LEVEL == 512
#include <immintrin.h>
#define LANES 16
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
typedef __m512 V;
INLINE TARGET V load(const float *p) { return _mm512_loadu_ps(p); }
INLINE TARGET void store(float *p, V v) { _mm512_storeu_ps(p, v); }
INLINE TARGET V fill(float x) { return _mm512_set1_ps(x); }
INLINE TARGET V fma_(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE TARGET V add(V a, V b) { return _mm512_add_ps(a, b); }
INLINE TARGET V sub(V a, V b) { return _mm512_sub_ps(a, b); }
INLINE TARGET V mul(V a, V b) { return _mm512_mul_ps(a, b); }
INLINE TARGET V div_(V a, V b) { return _mm512_div_ps(a, b); }
INLINE TARGET V root(V a) { return _mm512_sqrt_ps(a); }
/* The bits of both: lanes that are 0 in one have those of the other. */
INLINE TARGET V either(V a, V b) { return _mm512_or_ps(a, b); }
/* The second where either is a NaN. */
INLINE TARGET V larger(V a, V b) { return _mm512_max_ps(a, b); }
/* b where x < 0, else x. */
INLINE TARGET V if_negative(V x, V b) {
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), b);
}
/* The lanes whose mask is not 0, the others 0; only those are read. */
INLINE TARGET V load_some(const float *p, const int32_t *mask) {
    __m512i m = _mm512_loadu_si512(mask);
    return _mm512_maskz_loadu_ps(_mm512_test_epi32_mask(m, m), p);
}
INLINE TARGET float total(V v) { return _mm512_reduce_add_ps(v); }
/* LANES values at 16-bit places. */
INLINE TARGET V gather16(const float *p, const uint16_t *at) {
    __m256i i = _mm256_loadu_si256((const __m256i *)(const void *)at);
    return _mm512_i32gather_ps(_mm512_cvtepu16_epi32(i), p, 4);
}
/* Every second number of 2 LANES. */
INLINE TARGET V each_second(V a, V b) {
    const __m512i at = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(a, at, b);
}
#elif CM_LEVEL == 2
#include <immintrin.h>
#define LANES 8
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
typedef __m256 V;
INLINE TARGET V load(const float *p) { return _mm256_loadu_ps(p); }
INLINE TARGET void store(float *p, V v) { _mm256_storeu_ps(p, v); }
INLINE TARGET V fill(float x) { return _mm256_set1_ps(x); }
INLINE TARGET V fma_(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
INLINE TARGET V add(V a, V b) { return _mm256_add_ps(a, b); }
INLINE TARGET V sub(V a, V b) { return _mm256_sub_ps(a, b); }
INLINE TARGET V mul(V a, V b) { return _mm256_mul_ps(a, b); }
INLINE TARGET V div_(V a, V b) { return _mm256_div_ps(a, b); }
INLINE TARGET V root(V a) { return _mm256_sqrt_ps(a); }
INLINE TARGET V either(V a, V b) { return _mm256_or_ps(a, b); }
INLINE TARGET V larger(V a, V b) { return _mm256_max_ps(a, b); }
INLINE TARGET V if_negative(V x, V b) {
    return _mm256_blendv_ps(x, b, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}
INLINE TARGET V load_some(const float *p, const int32_t *mask) {
    return _mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i *)(const void *)mask));
}
INLINE TARGET float total(V v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}
INLINE TARGET V gather16(const float *p, const uint16_t *at) {
    __m128i i = _mm_loadu_si128((const __m128i *)(const void *)at);
    return _mm256_i32gather_ps(p, _mm256_cvtepu16_epi32(i), 4);
}
INLINE TARGET V each_second(V a, V b) {
    __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0xD8));
}
#else
#define LANES 4
#define NAME(x) x##_scalar
#define TARGET
typedef float V __attribute__((vector_size(16)));
typedef int32_t VI __attribute__((vector_size(16)));
INLINE V load(const float *p) {
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void store(float *p, V v) { memcpy(p, &v, sizeof v); }
INLINE V fill(float x) { return (V){x, x, x, x}; }
INLINE V fma_(V a, V b, V c) { return a * b + c; }
INLINE V add(V a, V b) { return a + b; }
INLINE V sub(V a, V b) { return a - b; }
INLINE V mul(V a, V b) { return a * b; }
INLINE V div_(V a, V b) { return a / b; }
INLINE V root(V a) { return (V){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }
INLINE V either(V a, V b) { return (V)((VI)a | (VI)b); }
INLINE V choose(VI mask, V a, V b) { return (V)((mask & (VI)a) | (~mask & (VI)b)); }
INLINE V larger(V a, V b) { return choose(a > b, a, b); }
INLINE V if_negative(V x, V b) { return choose(x < 0, b, x); }
INLINE V load_some(const float *p, const int32_t *mask) {
    V v = {0};
    for (int i = 0; i < 4; i++)
        if (mask[i]) v[i] = p[i];
    return v;
}
INLINE V each_second(V a, V b) { return (V){a[0], a[2], b[0], b[2]}; }
INLINE float total(V v) { return (v[0] + v[2]) + (v[1] + v[3]); }
INLINE V gather16(const float *p, const uint16_t *at) {
    return (V){p[at[0]], p[at[1]], p[at[2]], p[at[3]]};
}
#endif
