/* Adaptive coding of matrices of small integers by mixed contexts; the streams are laid out in
 * spec/cmodel-format.md: flags, rows, zero, distances, code bytes; empty without integers. */
#ifndef CM_CONTEXT_H
#define CM_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "cm_fault.h"

/* A matrix in C order. `width` and `period` are the distances to the left (0: none, at most
 * `columns`) of the neighbours below each other in a kernel, and in the input channel before. */
typedef struct {
    size_t columns; /* 1 to UINT32_MAX, divides the number of integers */
    uint32_t zero;  /* the integer that stands for 0 */
    size_t width, period;
    int trellis; /* whether the integers are indices of dependent quantization */
} cm_context;

struct cm_context_model;

/* Codes `count` integers of `item` bytes (1 or 2). `*data` is to be freed. */
cm_status cm_context_encode(const cm_context *matrix, const void *ints, unsigned item, size_t count,
                            uint8_t **data, size_t *size);

/* The columns that the head of a stream of `count` integers states; 0 where it is damaged. */
size_t cm_context_columns(const uint8_t *src, size_t size, unsigned item, size_t count);

/* Reads `count` integers of `item` bytes. Beside them it takes 16 bytes a column, at most `count`
 * columns; its time is bounded by `count`, and by `size` at about 10 ms a byte. */
cm_status cm_context_decode(const uint8_t *src, size_t size, void *ints, unsigned item, size_t count,
                            cm_fault *fault);

/* Fills the tables; once, before anything is coded. */
void cm_context_prepare(void);

/* The variants of what codes a row; see cm_simd.h. */
typedef const char *cm_context_code_row(struct cm_context_model *m, const cm_context *matrix,
                                        size_t row, uint8_t *ints, unsigned item);
cm_context_code_row cm_context_encode_row_scalar, cm_context_decode_row_scalar;
cm_context_code_row cm_context_encode_row_avx2, cm_context_decode_row_avx2;

#endif
