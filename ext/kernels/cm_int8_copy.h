/* See cm_int8_copy.c. */
#ifndef CM_INT8_COPY_H
#define CM_INT8_COPY_H

#include "cm_int8.h"

/* Images of one chunk, quads of channels one after another; the padding is what stands for 0. */
void cm_int8_copy(const cm_int8 *plan, size_t images, const float *x, uint32_t *target);

#endif
