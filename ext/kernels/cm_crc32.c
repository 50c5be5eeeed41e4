#include "cm_crc32.h"

#include "cm_bytes.h"
#include "cm_simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static uint32_t tables[8][256];

void cm_crc32_prepare(void) {
    for (uint32_t v = 0; v < 256; v++) {
        uint32_t crc = v;
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        tables[0][v] = crc;
    }
    for (int t = 1; t < 8; t++)
        for (int v = 0; v < 256; v++)
            tables[t][v] = tables[t - 1][v] >> 8 ^ tables[0][tables[t - 1][v] & 255];
}

uint32_t cm_crc32_update_scalar(uint32_t crc, const uint8_t *data, size_t size) {
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word = cm_load64(data) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++) crc ^= tables[7 - i][word >> 8 * i & 255];
    }
    for (; size; data++, size--) crc = crc >> 8 ^ tables[0][(crc ^ *data) & 255];
    return crc;
}

#if defined(__x86_64__)

/* x^n mod P, reflected, for moving 64 bits on over the distance to the next block: over four
 * blocks of 16 bytes (n = 544 and 480), and over one (n = 160 and 96). */
#define FOUR_BLOCKS _mm_set_epi64x(0x1c6e41596, 0x154442bd4)
#define ONE_BLOCK _mm_set_epi64x(0x0ccaa009e, 0x1751997d0)

static inline __attribute__((target("pclmul,sse4.1"))) __m128i fold(__m128i block, __m128i factors,
                                                                   __m128i next) {
    __m128i low = _mm_clmulepi64_si128(block, factors, 0x00);
    __m128i high = _mm_clmulepi64_si128(block, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

static inline __m128i load(const uint8_t *data) {
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

/* Folds the data, 64 bytes at a time, into a block of 16 bytes with the same remainder. */
__attribute__((target("pclmul,sse4.1"))) uint32_t cm_crc32_update_avx2(uint32_t crc,
                                                                      const uint8_t *data,
                                                                      size_t size) {
    if (size < 64) return cm_crc32_update_scalar(crc, data, size);
    __m128i block[4];
    for (int i = 0; i < 4; i++) block[i] = load(data + 16 * i);
    block[0] = _mm_xor_si128(block[0], _mm_cvtsi32_si128((int)crc));
    data += 64;
    size -= 64;
    for (; size >= 64; data += 64, size -= 64)
        for (int i = 0; i < 4; i++) block[i] = fold(block[i], FOUR_BLOCKS, load(data + 16 * i));
    for (int i = 1; i < 4; i++) block[0] = fold(block[0], ONE_BLOCK, block[i]);
    for (; size >= 16; data += 16, size -= 16) block[0] = fold(block[0], ONE_BLOCK, load(data));
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)(void *)rest, block[0]);
    return cm_crc32_update_scalar(cm_crc32_update_scalar(0, rest, 16), data, size);
}

#endif

uint32_t cm_crc32(const uint8_t *data, size_t size) {
    return ~cm_kernel.crc32(~(uint32_t)0, data, size);
}
