/* Sections 9.1 and 9.2: the range decoder and the logarithms, which masks and context streams share. */
#include "internal.h"

static uint8_t next_byte(range_decoder *d) {
    uint64_t at = d->position++;
    if (d->position - 3 > d->code_bytes.size)
        d->over = d->position > 3;
    return at < d->code_bytes.size ? d->code_bytes.data[at] : 0;
}

unsigned range_bit(range_decoder *d, uint32_t probability) {
    uint32_t bound = (uint32_t)((uint64_t)d->range * probability >> 16);
    unsigned bit = d->code < bound;
    if (bit) {
        d->range = bound;
    } else {
        d->code -= bound;
        d->range -= bound;
    }
    while (d->range < UINT32_C(1) << 24) {
        d->range <<= 8;
        d->code = d->code << 8 | next_byte(d);
    }
    return bit;
}

bool range_start(range_decoder *d, bytes code_bytes) {
    d->code_bytes = code_bytes;
    d->position = 0;
    d->range = UINT32_MAX;
    d->code = 0;
    d->over = false;
    for (int i = 0; i < 4; i++)
        d->code = d->code << 8 | next_byte(d);
    return d->code != UINT32_MAX;
}

bool range_at_end(const range_decoder *d) {
    return d->position - 3 == d->code_bytes.size;
}

int64_t lg(uint64_t v) {
    static const uint8_t fraction[64] = {
        0,   6,   11,  17,  22,  28,  33,  38,  44,  49,  54,  59,  63,  68,  73,  78,  82,  87,  92,  96,  100, 105,
        109, 113, 118, 122, 126, 130, 134, 138, 142, 146, 150, 154, 157, 161, 165, 169, 172, 176, 179, 183, 186, 190,
        193, 197, 200, 203, 207, 210, 213, 216, 220, 223, 226, 229, 232, 235, 238, 241, 244, 247, 250, 253};
    unsigned exponent = 0;
    while (v >> exponent > 1)
        exponent++;
    return 256 * (int64_t)exponent + fraction[(v * 64 >> exponent) - 64];
}

uint32_t squash(int64_t x) {
    static const uint16_t logistic[33] = {32768, 38390, 43691, 48418, 52429, 55691, 58254, 60214, 61681,
                                          62762, 63550, 64119, 64528, 64820, 65028, 65176, 65281, 65355,
                                          65408, 65446, 65472, 65491, 65504, 65513, 65520, 65525, 65528,
                                          65530, 65532, 65533, 65534, 65535, 65535};
    uint32_t a = x < -4095 || x > 4095 ? 4095 : (uint32_t)(x < 0 ? -x : x);
    uint32_t low = logistic[a >> 7], high = logistic[(a >> 7) + 1];
    uint32_t p = low + ((high - low) * (a & 127) >> 7);
    return x >= 0 ? p : 65536 - p;
}
