/* Decoding tensor forms to float32 words; src/cmodel/tensors/forms.py has the plain twins. */
#ifndef CM_FORMS_H
#define CM_FORMS_H

#include <stddef.h>
#include <stdint.h>

#include "cm_status.h"

/* out[i] = table[(i / run) * entries + index[i]] for i < count: a codebook of `entries` words for
 * every `run` elements. The indices (`item` bytes each, 1 or 2) are below `entries`. */
void cm_codebook_decode(const uint32_t *table, size_t entries, const void *index, unsigned item,
                        size_t run, size_t count, int threads, uint32_t *out);

/* The largest of `count` indices of `item` bytes; 0 where there are none. */
uint32_t cm_index_max(const void *index, unsigned item, size_t count, int threads);

/* Indices of dependent quantization (signed, `item` bytes, 1 or 2) to values: each of `rows` rows
 * walks the trellis from state 0; element i is scales[i / run] * level, rounded once, never -0. */
void cm_trellis_decode(const float *scales, const void *ints, unsigned item, size_t run, size_t rows,
                       size_t columns, int threads, float *out);

#endif
