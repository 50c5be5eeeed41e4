#include "cm_bitpack.h"

#include "cm_bytes.h"

static inline uint32_t get(const void *src, size_t i, unsigned item) {
    if (item == 1) return ((const uint8_t *)src)[i];
    if (item == 2) return ((const uint16_t *)src)[i];
    return ((const uint32_t *)src)[i];
}

static inline void put(void *dst, size_t i, unsigned item, uint32_t value) {
    if (item == 1) ((uint8_t *)dst)[i] = (uint8_t)value;
    else if (item == 2) ((uint16_t *)dst)[i] = (uint16_t)value;
    else ((uint32_t *)dst)[i] = value;
}

static inline cm_status encode(const void *src, size_t count, unsigned item, unsigned width,
                               uint8_t *dst, cm_fault *fault) {
    uint64_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = get(src, i, item);
        if (value >> width) return cm_fail(fault, CM_ARGUMENT, i, "value needs more bits");
        bits |= value << held;
        for (held += width; held >= 8; held -= 8, bits >>= 8) *dst++ = (uint8_t)bits;
    }
    if (held) *dst = (uint8_t)bits;
    return CM_OK;
}

static inline void decode(const uint8_t *src, size_t size, size_t count, unsigned item,
                          unsigned width, void *dst) {
    uint64_t mask = ((uint64_t)1 << width) - 1;
    size_t i = 0, bit = 0;
    for (; i < count && (bit >> 3) + 8 <= size; i++, bit += width)
        put(dst, i, item, (uint32_t)(cm_load64(src + (bit >> 3)) >> (bit & 7) & mask));
    for (; i < count; i++, bit += width)
        put(dst, i, item, (uint32_t)(cm_load_tail(src, size, bit >> 3) >> (bit & 7) & mask));
}

cm_status cm_bitpack_encode(const void *src, size_t count, unsigned item, unsigned width,
                            uint8_t *dst, cm_fault *fault) {
    if (width > CM_BITPACK_MAX_WIDTH) return cm_fail(fault, CM_ARGUMENT, 0, "width over 32");
    /* The item size is a constant in each call, so the loops have no branch for it. */
    if (item == 1) return encode(src, count, 1, width, dst, fault);
    if (item == 2) return encode(src, count, 2, width, dst, fault);
    return encode(src, count, 4, width, dst, fault);
}

cm_status cm_bitpack_decode(const uint8_t *src, size_t size, size_t count, unsigned item,
                            unsigned width, void *dst, cm_fault *fault) {
    if (width > CM_BITPACK_MAX_WIDTH || width > 8 * item)
        return cm_fail(fault, CM_ARGUMENT, 0, "width over that of the integers");
    size_t expected = cm_bitpack_size(count, width);
    if (size < expected) return cm_fail(fault, CM_TRUNCATED, size, "too short for its count");
    if (size > expected) return cm_fail(fault, CM_CORRUPT, expected, "bytes after its end");
    unsigned used = (unsigned)(count % 8 * width % 8);
    if (used && src[size - 1] >> used)
        return cm_fail(fault, CM_CORRUPT, size - 1, "padding bits are not zero");
    if (item == 1) decode(src, size, count, 1, width, dst);
    else if (item == 2) decode(src, size, count, 2, width, dst);
    else decode(src, size, count, 4, width, dst);
    return CM_OK;
}
