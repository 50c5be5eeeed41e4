#include "cm_forms.h"

#include "cm_parallel.h"

/* Large enough to be worth a thread, small enough to share out evenly. */
#define BLOCK ((size_t)1 << 18)

static void look_up8(const uint32_t *table, const uint8_t *index, size_t n, uint32_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = table[index[i]];
}

static void look_up16(const uint32_t *table, const uint16_t *index, size_t n, uint32_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = table[index[i]];
}

static void decode_range(const uint32_t *table, size_t entries, const void *index, unsigned item,
                         size_t run, size_t from, size_t to, uint32_t *out) {
    while (from < to) {
        size_t group = from / run, end = (group + 1) * run < to ? (group + 1) * run : to;
        const uint32_t *book = table + group * entries;
        if (item == 1) look_up8(book, (const uint8_t *)index + from, end - from, out + from);
        else look_up16(book, (const uint16_t *)index + from, end - from, out + from);
        from = end;
    }
}

void cm_codebook_decode(const uint32_t *table, size_t entries, const void *index, unsigned item,
                        size_t run, size_t count, int threads, uint32_t *out) {
    ptrdiff_t blocks = (ptrdiff_t)((count + BLOCK - 1) / BLOCK);
    (void)threads;
    CM_PARALLEL_FOR(threads)
    for (ptrdiff_t b = 0; b < blocks; b++) {
        size_t from = (size_t)b * BLOCK, to = from + BLOCK < count ? from + BLOCK : count;
        decode_range(table, entries, index, item, run, from, to, out);
    }
}

static uint32_t largest8(const uint8_t *index, size_t n) {
    uint8_t largest = 0;
    for (size_t i = 0; i < n; i++) largest = index[i] > largest ? index[i] : largest;
    return largest;
}

static uint32_t largest16(const uint16_t *index, size_t n) {
    uint16_t largest = 0;
    for (size_t i = 0; i < n; i++) largest = index[i] > largest ? index[i] : largest;
    return largest;
}

uint32_t cm_index_max(const void *index, unsigned item, size_t count, int threads) {
    ptrdiff_t blocks = (ptrdiff_t)((count + BLOCK - 1) / BLOCK);
    uint32_t largest = 0;
    (void)threads;
    CM_PARALLEL_FOR(threads)
    for (ptrdiff_t b = 0; b < blocks; b++) {
        size_t from = (size_t)b * BLOCK, n = count - from < BLOCK ? count - from : BLOCK;
        uint32_t mine = item == 1 ? largest8((const uint8_t *)index + from, n)
                                  : largest16((const uint16_t *)index + from, n);
        CM_CRITICAL
        if (mine > largest) largest = mine;
    }
    return largest;
}

/* src/cmodel/tensors/trellis.py says what these mean. */
static const uint8_t next_state[8][2] = {{0, 2}, {5, 7}, {1, 3}, {6, 4},
                                         {2, 0}, {4, 6}, {3, 1}, {7, 5}};

static inline int level_of(int k, unsigned *state) {
    int quantizer = *state & 1;
    *state = next_state[*state][k & 1];
    return 2 * k - quantizer * ((k > 0) - (k < 0));
}

static void decode_trellis_row(const float *scales, const void *ints, unsigned item, size_t run,
                               size_t from, size_t to, float *out) {
    unsigned state = 0;
    while (from < to) {
        size_t group = from / run, end = (group + 1) * run < to ? (group + 1) * run : to;
        float scale = scales[group];
        /* A product of -0 becomes +0. */
        if (item == 1)
            for (; from < end; from++)
                out[from] = (float)level_of(((const int8_t *)ints)[from], &state) * scale + 0.0f;
        else
            for (; from < end; from++)
                out[from] = (float)level_of(((const int16_t *)ints)[from], &state) * scale + 0.0f;
    }
}

void cm_trellis_decode(const float *scales, const void *ints, unsigned item, size_t run, size_t rows,
                       size_t columns, int threads, float *out) {
    (void)threads;
    CM_PARALLEL_FOR(threads)
    for (ptrdiff_t row = 0; row < (ptrdiff_t)rows; row++) {
        size_t from = (size_t)row * columns;
        decode_trellis_row(scales, ints, item, run, from, from + columns, out);
    }
}
