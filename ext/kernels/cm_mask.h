/* Adaptive binary coding of the positions of ones in a sparse matrix; the streams are laid out in
 * spec/cmodel-format.md: varint period, code bytes; empty where no element or every one is 1. */
#ifndef CM_MASK_H
#define CM_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "cm_fault.h"

#define CM_MASK_MAX_SIZE UINT32_MAX /* elements */

/* A matrix of rows * columns elements, at most CM_MASK_MAX_SIZE, with `count` ones. */
typedef struct {
    size_t rows, columns, count;
    size_t period; /* the elements one and two periods to the left are contexts; 0: none */
} cm_mask;

/* Codes `count` ascending positions below rows * columns. `*data` is to be freed. */
cm_status cm_mask_encode(const cm_mask *mask, const int64_t *positions, uint8_t **data, size_t *size);

/* Reads `count` positions. Beside them it takes three bytes a column; its time is bounded by the
 * number of elements and, at about 10 ms a byte, by `size`. */
cm_status cm_mask_decode(const uint8_t *src, size_t size, cm_mask *mask, int64_t *positions,
                         cm_fault *fault);

#endif
