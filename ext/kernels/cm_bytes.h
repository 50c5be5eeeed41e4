/* Unaligned little-endian words and LEB128 varints. */
#ifndef CM_BYTES_H
#define CM_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define CM_LITTLE16(word) __builtin_bswap16(word)
#define CM_LITTLE32(word) __builtin_bswap32(word)
#define CM_LITTLE64(word) __builtin_bswap64(word)
#else
#define CM_LITTLE16(word) (word)
#define CM_LITTLE32(word) (word)
#define CM_LITTLE64(word) (word)
#endif

static inline uint16_t cm_load16(const uint8_t *p) {
    uint16_t word;
    memcpy(&word, p, sizeof word);
    return CM_LITTLE16(word);
}

static inline void cm_store16(uint8_t *p, uint16_t word) {
    word = CM_LITTLE16(word);
    memcpy(p, &word, sizeof word);
}

static inline uint32_t cm_load32(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return CM_LITTLE32(word);
}

static inline uint64_t cm_load64(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return CM_LITTLE64(word);
}

static inline void cm_store32(uint8_t *p, uint32_t word) {
    word = CM_LITTLE32(word);
    memcpy(p, &word, sizeof word);
}

static inline void cm_store64(uint8_t *p, uint64_t word) {
    word = CM_LITTLE64(word);
    memcpy(p, &word, sizeof word);
}

/* The (at most) eight bytes from `at` on, zeros after the end. */
static inline uint64_t cm_load_tail(const uint8_t *src, size_t size, size_t at) {
    if (at < size && size - at >= 8) return cm_load64(src + at);
    uint64_t word = 0;
    for (unsigned shift = 0; at < size; at++, shift += 8) word |= (uint64_t)src[at] << shift;
    return word;
}

/* Reads a varint of at most 32 bits in its shortest form; returns its bytes, 0 where it is none. */
static inline size_t cm_varint_get(const uint8_t *src, size_t size, uint32_t *value) {
    uint64_t result = 0;
    for (size_t i = 0; i < 5 && i < size; i++) {
        result |= (uint64_t)(src[i] & 0x7f) << 7 * i;
        if (src[i] & 0x80) continue;
        if ((i && !src[i]) || result > UINT32_MAX) return 0;
        *value = (uint32_t)result;
        return i + 1;
    }
    return 0;
}

static inline size_t cm_varint_put(uint8_t *dst, uint32_t value) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) dst[n++] = (uint8_t)(value | 0x80);
    dst[n++] = (uint8_t)value;
    return n;
}

#endif
