/* An adaptive binary range coder, and the logistic arithmetic of its models, as the specification of
 * the container lays them out (section 9). */
#ifndef CM_RANGE_H
#define CM_RANGE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cm_status.h"

#define INLINE static inline __attribute__((always_inline))
#define LEAST_RANGE ((uint32_t)1 << 24)

/* 256 log2(1 + f / 64) */
static const uint8_t cm_logs[64] = {
    0,   6,   11,  17,  22,  28,  33,  38,  44,  49,  54,  59,  63,  68,  73,  78,
    82,  87,  92,  96,  100, 105, 109, 113, 118, 122, 126, 130, 134, 138, 142, 146,
    150, 154, 157, 161, 165, 169, 172, 176, 179, 183, 186, 190, 193, 197, 200, 203,
    207, 210, 213, 216, 220, 223, 226, 229, 232, 235, 238, 241, 244, 247, 250, 253};

/* 65536 / (1 + 2^(-i / 2)), at most 65535 */
static const uint16_t cm_logistic[33] = {
    32768, 38390, 43691, 48418, 52429, 55691, 58254, 60214, 61681, 62762, 63550,
    64119, 64528, 64820, 65028, 65176, 65281, 65355, 65408, 65446, 65472, 65491,
    65504, 65513, 65520, 65525, 65528, 65530, 65532, 65533, 65534, 65535, 65535};

INLINE int log_of(uint32_t v) {
    int e = 31 - __builtin_clz(v);
    uint32_t aligned = v << (31 - e);
    return 256 * e + cm_logs[aligned >> 25 & 63];
}

/* Probability of a 1 in 1/65536, from its logit in 1/256 octave. */
INLINE uint32_t squash(int64_t x) {
    int64_t a = x < 0 ? -x : x;
    if (a > 4095) a = 4095;
    int i = (int)(a >> 7), f = (int)(a & 127);
    uint32_t p = cm_logistic[i] + (uint32_t)((cm_logistic[i + 1] - cm_logistic[i]) * f >> 7);
    return x < 0 ? 65536 - p : p;
}

typedef struct {
    uint32_t range;
    /* decoding */
    uint32_t code;
    const uint8_t *src;
    size_t size, at; /* `at` counts bytes read, real or not */
    /* encoding */
    uint64_t low;
    uint8_t *out;
    size_t room, written;
    cm_status status;
} coder;

static inline void put_byte(coder *c, uint8_t byte) {
    if (c->written == c->room) {
        size_t room = c->room ? 2 * c->room : 256;
        uint8_t *larger = realloc(c->out, room);
        if (!larger) {
            c->status = CM_MEMORY;
            return;
        }
        c->out = larger;
        c->room = room;
    }
    c->out[c->written++] = byte;
}

/* The top byte of `low` is final but for a carry out of it, which goes into what is written. */
static inline void shift_out(coder *c) {
    if (c->low >> 32) {
        size_t i = c->written;
        while (i && ++c->out[--i] == 0) continue;
    }
    put_byte(c, (uint8_t)(c->low >> 24));
    c->low = (uint32_t)c->low << 8;
}

/* Starts decoding. Returns 0 where the code begins beyond the range. */
static inline int begin_decoding(coder *c, const uint8_t *src, size_t size, size_t start) {
    *c = (coder){.range = UINT32_MAX, .src = src, .size = size, .at = start + 4};
    for (size_t i = start; i < start + 4; i++) c->code = c->code << 8 | (i < size ? src[i] : 0);
    return c->code != UINT32_MAX;
}

/* Ends encoding: puts out the last byte. */
static inline void end_encoding(coder *c) {
    c->low += LEAST_RANGE - 1;
    shift_out(c);
}

INLINE uint32_t cm_big_endian(uint32_t v) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap32(v);
#else
    return v;
#endif
}

/* Codes a bit: returns the one read, or writes `bit`. */
INLINE int code_bit(coder *c, uint32_t q, int bit, int encoding) {
    uint32_t bound = (uint32_t)((uint64_t)c->range * q >> 16);
    if (!encoding) bit = c->code < bound;
    if (bit) {
        c->range = bound;
    } else {
        c->range -= bound;
        if (encoding) c->low += bound;
        else c->code -= bound;
    }
    if (!encoding && c->size - 4 >= c->at && c->size >= 4) {
        /* Whole bytes, none to two, without a branch. */
        const int shift = __builtin_clz(c->range) & 24;
        uint32_t next;
        memcpy(&next, c->src + c->at, 4);
        c->range <<= shift;
        c->code = (uint32_t)(((uint64_t)c->code << 32 | cm_big_endian(next)) << shift >> 32);
        c->at += (unsigned)shift >> 3;
        return bit;
    }
    while (c->range < LEAST_RANGE) {
        c->range <<= 8;
        if (encoding) {
            shift_out(c);
        } else {
            c->code = c->code << 8 | (c->at < c->size ? c->src[c->at] : 0);
            c->at++;
        }
    }
    return bit;
}

/* Whether decoding needs more bytes than there are: of the last four read, one was written. */
INLINE int is_over(const coder *c) { return c->at - 3 > c->size; }

#endif
