#include "cm_bytes.h"
#include "cm_rans.h"
#include "cm_simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LANES CM_RANS_LANES
#define GROUP 8                 /* lanes whose look-ups do not wait for each other's words */
#define LOW ((uint32_t)1 << 16) /* states are renormalised to 2^16 or more */
#define ROUND_BYTES (2 * LANES) /* most that a round takes */

static inline __attribute__((always_inline)) void put(uint8_t *dst, size_t i, unsigned item,
                                                      unsigned value) {
    if (item == 1) dst[i] = (uint8_t)value;
    else ((uint16_t *)(void *)dst)[i] = (uint16_t)value;
}

static void fill_slots(const cm_rans *model, unsigned item, cm_rans_slots *slots) {
    uint32_t slot = 0;
    for (uint32_t s = 0; s < model->alphabet; s++) {
        uint32_t f = model->frequency[s];
        for (uint32_t i = 0; i < f; i++, slot++) {
            slots->entry[slot] = item == 1 ? s | f << 8 | i << 20 : f | i << 16;
            slots->symbol[slot] = (uint16_t)s;
        }
    }
    slots->symbol[CM_RANS_TOTAL] = slots->symbol[CM_RANS_TOTAL + 1] = 0;
}

/* Takes the symbol off a state, which may then be below LOW. */
static inline __attribute__((always_inline)) uint32_t step(const cm_rans_slots *slots, uint32_t x,
                                                           unsigned item, unsigned *symbol) {
    uint32_t slot = x & (CM_RANS_TOTAL - 1), e = slots->entry[slot];
    if (item == 1) {
        *symbol = e & 255;
        return (e >> 8 & 4095) * (x >> CM_RANS_BITS) + (e >> 20);
    }
    *symbol = slots->symbol[slot];
    return (e & 65535) * (x >> CM_RANS_BITS) + (e >> 16);
}

static inline __attribute__((always_inline)) void run_scalar(const cm_rans_slots *slots,
                                                             cm_rans_lanes *lanes, unsigned item) {
    const uint8_t *words = lanes->words;
    uint8_t *dst = lanes->dst;
    for (; lanes->rounds && lanes->end - words >= ROUND_BYTES; lanes->rounds--) {
        for (unsigned j = 0; j < LANES; j += GROUP) {
            uint32_t x[GROUP];
            unsigned symbol[GROUP];
#pragma GCC unroll 8
            for (unsigned k = 0; k < GROUP; k++)
                x[k] = step(slots, lanes->x[j + k], item, &symbol[k]);
#pragma GCC unroll 8
            for (unsigned k = 0; k < GROUP; k++) {
                uint32_t more = x[k] << 16 | cm_load16(words);
                size_t need = x[k] < LOW;
                lanes->x[j + k] = need ? more : x[k];
                words += 2 * need;
                put(dst, j + k, item, symbol[k]);
            }
        }
        dst += LANES * item;
    }
    lanes->words = words;
    lanes->dst = dst;
}

void cm_rans_lanes_scalar(const cm_rans_slots *slots, cm_rans_lanes *lanes, unsigned item) {
    if (item == 1) run_scalar(slots, lanes, 1);
    else run_scalar(slots, lanes, 2);
}

#if defined(__x86_64__)
/* spread[m]: for each bit of m that is set, how many are set below it. */
static uint64_t spread[256];

void cm_rans_prepare(void) {
    for (unsigned m = 0; m < 256; m++) {
        uint64_t places = 0, next = 0;
        for (unsigned b = 0; b < 8; b++)
            if (m >> b & 1) places |= next++ << 8 * b;
        spread[m] = places;
    }
}

#define AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,popcnt")))

AVX2 static inline __attribute__((always_inline)) __m256i refill8(__m256i x,
                                                                  const uint8_t **words) {
    __m256i need = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(need));
    __m256i next = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*words));
    __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)spread[mask]));
    *words += 2 * (unsigned)_mm_popcnt_u32(mask);
    next = _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(next, order));
    return _mm256_blendv_epi8(x, next, need);
}

AVX2 static inline __attribute__((always_inline)) void run_avx2(const cm_rans_slots *slots,
                                                                cm_rans_lanes *lanes,
                                                                unsigned item) {
    const __m256i slot_mask = _mm256_set1_epi32(CM_RANS_TOTAL - 1);
    const __m256i low8 = _mm256_set1_epi32(255), low16 = _mm256_set1_epi32(65535);
    const uint8_t *words = lanes->words;
    uint8_t *dst = lanes->dst;
    size_t rounds = lanes->rounds;
    __m256i x[4], symbol[4];
    for (int v = 0; v < 4; v++)
        x[v] = _mm256_loadu_si256((const __m256i *)(const void *)(lanes->x + 8 * v));
    for (; rounds && lanes->end - words >= ROUND_BYTES; rounds--) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            __m256i slot = _mm256_and_si256(x[v], slot_mask);
            __m256i e = _mm256_i32gather_epi32((const int *)slots->entry, slot, 4), f, offset;
            if (item == 1) {
                symbol[v] = _mm256_and_si256(e, low8);
                f = _mm256_and_si256(_mm256_srli_epi32(e, 8), slot_mask);
                offset = _mm256_srli_epi32(e, 20);
            } else {
                symbol[v] = _mm256_and_si256(
                    _mm256_i32gather_epi32((const int *)(const void *)slots->symbol, slot, 2),
                    low16);
                f = _mm256_and_si256(e, low16);
                offset = _mm256_srli_epi32(e, 16);
            }
            x[v] = _mm256_add_epi32(
                _mm256_mullo_epi32(f, _mm256_srli_epi32(x[v], CM_RANS_BITS)), offset);
        }
        for (int v = 0; v < 4; v++) x[v] = refill8(x[v], &words);
        __m256i first = _mm256_packus_epi32(symbol[0], symbol[1]);
        __m256i second = _mm256_packus_epi32(symbol[2], symbol[3]);
        if (item == 1) {
            const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            __m256i bytes = _mm256_packus_epi16(first, second);
            _mm256_storeu_si256((__m256i *)(void *)dst, _mm256_permutevar8x32_epi32(bytes, order));
        } else {
            _mm256_storeu_si256((__m256i *)(void *)dst, _mm256_permute4x64_epi64(first, 0xD8));
            _mm256_storeu_si256((__m256i *)(void *)(dst + 32),
                                _mm256_permute4x64_epi64(second, 0xD8));
        }
        dst += LANES * item;
    }
    for (int v = 0; v < 4; v++)
        _mm256_storeu_si256((__m256i *)(void *)(lanes->x + 8 * v), x[v]);
    lanes->words = words;
    lanes->dst = dst;
    lanes->rounds = rounds;
}

AVX2 void cm_rans_lanes_avx2(const cm_rans_slots *slots, cm_rans_lanes *lanes, unsigned item) {
    if (item == 1) run_avx2(slots, lanes, 1);
    else run_avx2(slots, lanes, 2);
}

AVX512 static inline __attribute__((always_inline)) __m512i refill16(__m512i x,
                                                                     const uint8_t **words) {
    __mmask16 need = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32((int)LOW));
    __m512i next =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)*words));
    *words += 2 * (unsigned)_mm_popcnt_u32(need);
    return _mm512_mask_or_epi32(x, need, _mm512_slli_epi32(x, 16),
                                _mm512_maskz_expand_epi32(need, next));
}

AVX512 static inline __attribute__((always_inline)) void run_avx512(const cm_rans_slots *slots,
                                                                    cm_rans_lanes *lanes,
                                                                    unsigned item) {
    const __m512i slot_mask = _mm512_set1_epi32(CM_RANS_TOTAL - 1);
    const __m512i low16 = _mm512_set1_epi32(65535);
    const uint8_t *words = lanes->words;
    uint8_t *dst = lanes->dst;
    size_t rounds = lanes->rounds;
    __m512i x[2];
    for (int v = 0; v < 2; v++) x[v] = _mm512_loadu_si512(lanes->x + 16 * v);
    for (; rounds && lanes->end - words >= ROUND_BYTES; rounds--) {
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            __m512i slot = _mm512_and_si512(x[v], slot_mask);
            __m512i e = _mm512_i32gather_epi32(slot, slots->entry, 4), f, offset;
            if (item == 1) {
                _mm_storeu_si128((__m128i *)(void *)(dst + 16 * v), _mm512_cvtepi32_epi8(e));
                f = _mm512_and_si512(_mm512_srli_epi32(e, 8), slot_mask);
                offset = _mm512_srli_epi32(e, 20);
            } else {
                __m512i symbol = _mm512_i32gather_epi32(slot, slots->symbol, 2);
                _mm256_storeu_si256((__m256i *)(void *)(dst + 32 * v),
                                    _mm512_cvtepi32_epi16(symbol));
                f = _mm512_and_si512(e, low16);
                offset = _mm512_srli_epi32(e, 16);
            }
            x[v] = _mm512_add_epi32(
                _mm512_mullo_epi32(f, _mm512_srli_epi32(x[v], CM_RANS_BITS)), offset);
        }
        for (int v = 0; v < 2; v++) x[v] = refill16(x[v], &words);
        dst += LANES * item;
    }
    for (int v = 0; v < 2; v++) _mm512_storeu_si512(lanes->x + 16 * v, x[v]);
    lanes->words = words;
    lanes->dst = dst;
    lanes->rounds = rounds;
}

AVX512 void cm_rans_lanes_avx512(const cm_rans_slots *slots, cm_rans_lanes *lanes, unsigned item) {
    if (item == 1) run_avx512(slots, lanes, 1);
    else run_avx512(slots, lanes, 2);
}
#else
void cm_rans_prepare(void) {}
#endif

static const char missing[] = "ends before its last symbol";

static cm_status decode_wide(const cm_rans_slots *slots, const uint8_t *src, size_t size,
                             unsigned item, size_t n, uint8_t *dst, cm_fault *fault) {
    cm_rans_lanes lanes;
    if (size < 4 * LANES) return cm_fail(fault, CM_TRUNCATED, size, "no states");
    if (size & 1) return cm_fail(fault, CM_CORRUPT, size, "half a word");
    for (unsigned j = 0; j < LANES; j++) {
        lanes.x[j] = cm_load32(src + 4 * j);
        if (lanes.x[j] < LOW) return cm_fail(fault, CM_CORRUPT, 4 * j, "a state is too low");
    }
    lanes.words = src + 4 * LANES;
    lanes.end = src + size;
    lanes.dst = dst;
    lanes.rounds = n / LANES;
    cm_kernel.rans_lanes(slots, &lanes, item);
    size_t left = n - (size_t)(lanes.dst - dst) / item;
    for (size_t i = 0; i < left; i++) {
        unsigned symbol;
        uint32_t *x = &lanes.x[i & (LANES - 1)];
        *x = step(slots, *x, item, &symbol);
        if (*x < LOW) {
            if (lanes.words == lanes.end) return cm_fail(fault, CM_TRUNCATED, size, missing);
            *x = *x << 16 | cm_load16(lanes.words);
            lanes.words += 2;
        }
        put(lanes.dst, i, item, symbol);
    }
    if (lanes.words != lanes.end)
        return cm_fail(fault, CM_CORRUPT, (size_t)(lanes.words - src), "bytes after its end");
    for (unsigned j = 0; j < LANES; j++)
        if (lanes.x[j] != LOW) return cm_fail(fault, CM_CORRUPT, 4 * j, "a lane ends in a wrong state");
    return CM_OK;
}

static cm_status decode_narrow(const cm_rans_slots *slots, const uint8_t *src, size_t size,
                               unsigned item, size_t n, uint8_t *dst, cm_fault *fault) {
    uint32_t x = (uint32_t)cm_load_tail(src, size < 4 ? size : 4, 0);
    if (size > 4 ? x < LOW : !size || !src[size - 1])
        return cm_fail(fault, CM_CORRUPT, 0, "the state is too low");
    if (size > 4 && size & 1) return cm_fail(fault, CM_CORRUPT, size, "half a word");
    const uint8_t *words = src + (size < 4 ? size : 4), *end = src + size;
    for (size_t i = 0; i < n; i++) {
        unsigned symbol;
        x = step(slots, x, item, &symbol);
        if (x < LOW && words != end) {
            x = x << 16 | cm_load16(words);
            words += 2;
        }
        put(dst, i, item, symbol);
    }
    if (words != end)
        return cm_fail(fault, CM_CORRUPT, (size_t)(words - src), "bytes after its end");
    if (x != 1) return cm_fail(fault, CM_CORRUPT, 0, "it ends in a wrong state");
    return CM_OK;
}

typedef struct {
    cm_rans_slots slots;
    int wide;
} decoder;

static cm_status decode_chunk(const void *coder, const uint8_t *src, size_t size, unsigned item,
                              size_t n, uint8_t *dst, cm_fault *fault) {
    const decoder *d = coder;
    if (d->wide && n > CM_CHUNKS_SMALL)
        return decode_wide(&d->slots, src, size, item, n, dst, fault);
    return item == 1 ? decode_narrow(&d->slots, src, size, 1, n, dst, fault)
                     : decode_narrow(&d->slots, src, size, 2, n, dst, fault);
}

cm_status cm_rans_open(const uint8_t *src, size_t size, size_t at, size_t count, unsigned item,
                       cm_rans *model, cm_fault *fault) {
    model->chunks = (cm_chunks){.count = count};
    if (!model->alphabet && count)
        return cm_fail(fault, CM_CORRUPT, 0, "an empty alphabet for some symbols");
    if (at && model->alphabet && !count) /* a table of others may be left unused */
        return cm_fail(fault, CM_CORRUPT, 0, "an alphabet for no symbol");
    if (item == 1 && model->alphabet > 256)
        return cm_fail(fault, CM_CORRUPT, 0, "its symbols do not fit eight bits");
    if (model->used <= 1 || !count)
        return at == size ? CM_OK : cm_fail(fault, CM_CORRUPT, at, "bytes after its end");
    return cm_chunks_open(src, size, at, count, CM_RANS_WIDE, &model->chunks, fault);
}

cm_status cm_rans_decode(const cm_rans *model, const uint8_t *src, size_t size, unsigned item,
                         int threads, void *dst, cm_fault *fault) {
    size_t count = model->chunks.count;
    uint8_t *out = dst;
    if (model->used <= 1 || !count) {
        for (size_t i = 0; i < count; i++) put(out, i, item, model->alphabet - 1);
        return CM_OK;
    }
    decoder d;
    fill_slots(model, item, &d.slots);
    d.wide = (model->chunks.flags & CM_RANS_WIDE) != 0;
    return cm_chunks_decode(&model->chunks, src, size, item, threads, decode_chunk, &d, out, fault);
}
