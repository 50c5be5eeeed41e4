/* The parts of a table that its reader and its builder share. */
#ifndef CM_RANS_TABLE_H
#define CM_RANS_TABLE_H

#include "cm_rans.h"

/* Values of `head`; smaller ones are listed tables. */
enum { CM_RANS_SHAPED = 0x80, CM_RANS_SINGLE = 0xC0 };

/* frequency[s] = 1 + what of 4096 - (number of used symbols) falls to its weight; CM_CORRUPT where
 * all weights are 0. */
cm_status cm_rans_normalise(const uint32_t *weights, const uint8_t *used, uint32_t alphabet,
                            uint16_t *frequency);

/* Floating-point weights with `precision` bits behind the first one, and the nearest level. */
uint32_t cm_rans_weight(uint32_t level, unsigned precision);
uint32_t cm_rans_level(uint32_t weight, unsigned precision);

/* The weights of a parametric table. */
void cm_rans_shape(const cm_rans_table *table, uint32_t *weights);

static inline uint32_t cm_rans_zigzag(int32_t difference) {
    return difference < 0 ? 2 * (uint32_t)-difference - 1 : 2 * (uint32_t)difference;
}

#endif
