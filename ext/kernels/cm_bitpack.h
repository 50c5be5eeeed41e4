/* Fixed-width integers: value i occupies bits [i*width, (i+1)*width), least significant first. */
#ifndef CM_BITPACK_H
#define CM_BITPACK_H

#include <stddef.h>
#include <stdint.h>

#include "cm_fault.h"

#define CM_BITPACK_MAX_WIDTH 32

/* Bytes of `count` values; `count` below 2^58. */
static inline size_t cm_bitpack_size(size_t count, unsigned width) {
    return count / 8 * width + (count % 8 * width + 7) / 8;
}

/* `item` is the size of an integer in bytes: 1, 2 or 4. `dst` has cm_bitpack_size bytes. A value
 * that needs more than `width` bits gives CM_ARGUMENT and its index in `fault->at`. */
cm_status cm_bitpack_encode(const void *src, size_t count, unsigned item, unsigned width,
                            uint8_t *dst, cm_fault *fault);

/* `size` must be cm_bitpack_size exactly, and `width` at most 8 * item. */
cm_status cm_bitpack_decode(const uint8_t *src, size_t size, size_t count, unsigned item,
                            unsigned width, void *dst, cm_fault *fault);

#endif
