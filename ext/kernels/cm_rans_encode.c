#include "cm_bytes.h"
#include "cm_rans.h"

#define LANES CM_RANS_LANES
#define LOW ((uint32_t)1 << 16)

typedef struct {
    uint64_t reciprocal; /* ceil(2^64 / frequency), or 2^64 - 1 for frequency 1 */
    uint32_t limit;      /* states from here on give a word first */
    uint16_t others;     /* 4096 - frequency */
    uint16_t start;      /* of the symbol's slots; for frequency 1 with the correction */
} wide_entry;

typedef struct {
    wide_entry entries[CM_RANS_ALPHABET];
    uint16_t starts[CM_RANS_ALPHABET];
    const uint16_t *frequency;
    int wide;
} encoder;

size_t cm_rans_bound(size_t count, unsigned chunk_log2) {
    /* No symbol takes more than 12 bits; the words are written from behind, two bytes a symbol off. */
    return 2 * count + ((count >> chunk_log2) + 1) * (8 + 4 * LANES) + 16;
}

static inline __attribute__((always_inline)) uint32_t symbol_at(const void *symbols, size_t i,
                                                                unsigned item) {
    return item == 1 ? ((const uint8_t *)symbols)[i] : ((const uint16_t *)symbols)[i];
}

/* Writes in front of `out` and returns where it begins. */
static inline __attribute__((always_inline)) uint8_t *wide(const wide_entry *entries,
                                                           const void *symbols, size_t first,
                                                           size_t n, unsigned item, uint8_t *out) {
    uint32_t x[LANES];
    for (unsigned j = 0; j < LANES; j++) x[j] = LOW;
    for (size_t i = n; i;) {
        size_t round = (i - 1) / LANES * LANES;
        for (unsigned j = (unsigned)(i - round); j--;) {
            const wide_entry *e = &entries[symbol_at(symbols, first + round + j, item)];
            uint32_t state = x[j];
            int over = state >= e->limit;
            cm_store16(out - 2, (uint16_t)state); /* kept where the pointer moves */
            out -= over ? 2 : 0;
            state = over ? state >> 16 : state;
            uint32_t quotient = (uint32_t)((__extension__(unsigned __int128)state * e->reciprocal) >> 64);
            x[j] = state + e->start + quotient * e->others;
        }
        i = round;
    }
    for (unsigned j = LANES; j--;) {
        out -= 4;
        cm_store32(out, x[j]);
    }
    return out;
}

/* From state 1, so that no word is written before the state is full. */
static inline __attribute__((always_inline)) uint8_t *narrow(const encoder *coder,
                                                             const void *symbols, size_t first,
                                                             size_t n, unsigned item,
                                                             uint8_t *out) {
    uint8_t *end = out;
    uint32_t x = 1;
    for (size_t i = n; i--;) {
        uint32_t s = symbol_at(symbols, first + i, item), f = coder->frequency[s];
        if (x >= f << 20) {
            out -= 2;
            cm_store16(out, (uint16_t)x);
            x >>= 16;
        }
        x = (x / f << CM_RANS_BITS) + x % f + coder->starts[s];
    }
    for (int shift = 24; shift >= 0; shift -= 8)
        if (x >> shift || (shift && out != end)) *--out = (uint8_t)(x >> shift);
    return out;
}

static size_t put_chunk(const void *coder, const void *symbols, size_t first, size_t n,
                        unsigned item, uint8_t *dst) {
    const encoder *e = coder;
    uint8_t *end = dst + 2 * n + 4 * LANES, *begin;
    if (e->wide && n > CM_CHUNKS_SMALL)
        begin = item == 1 ? wide(e->entries, symbols, first, n, 1, end)
                          : wide(e->entries, symbols, first, n, 2, end);
    else
        begin = item == 1 ? narrow(e, symbols, first, n, 1, end) : narrow(e, symbols, first, n, 2, end);
    memmove(dst, begin, (size_t)(end - begin));
    return (size_t)(end - begin);
}

size_t cm_rans_encode(const cm_rans *model, const void *symbols, size_t count, unsigned item,
                      unsigned chunk_log2, int wide, uint8_t *dst) {
    if (model->used <= 1 || !count) return 0;
    encoder e = {.frequency = model->frequency, .wide = wide && count > CM_CHUNKS_SMALL};
    uint32_t start = 0;
    for (uint32_t s = 0; s < model->alphabet; start += model->frequency[s++]) {
        uint32_t f = model->frequency[s];
        e.starts[s] = (uint16_t)start;
        if (!f) continue;
        /* The product's error is below state / 2^52, a quotient's distance from the next integer at
         * least 1 / 4096. With frequency 1 the quotient is one too small. */
        e.entries[s] = (wide_entry){f > 1 ? UINT64_MAX / f + 1 : UINT64_MAX, f << 20,
                                    (uint16_t)(CM_RANS_TOTAL - f),
                                    (uint16_t)(f > 1 ? start : start + CM_RANS_TOTAL - 1)};
    }
    return cm_chunks_encode(symbols, count, item, chunk_log2, e.wide ? CM_RANS_WIDE : 0, put_chunk, &e,
                            dst);
}
