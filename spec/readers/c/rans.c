/* Chapter 8: rANS streams. */
#include "internal.h"

enum { TOTAL = 4096, RANS_SYMBOLS = 2048, LANES = 32, PARAMETRIC = 0x80, SINGLE = 0xC0, LONGEST_SKIP = 11 };

#define LEAST_STATE 65536u

static cmodel_status bad_rans(const integers *s, const char *what) {
    return fail(s->c, CMODEL_BAD_STREAM, "rANS stream: %s", what);
}

/* ---- 8.1 The table ---- */

typedef struct {
    unsigned symbols; /* A */
    bool used[RANS_SYMBOLS];
    uint64_t weight[RANS_SYMBOLS];
} weights;

/* The number of 1 bits before the next 0 bit; more than `most` of them are most + 1. */
static unsigned take_ones(bit_reader *bits, unsigned most) {
    unsigned ones = 0;
    while (ones <= most && bits_take(bits, 1) == 1)
        ones++;
    return ones;
}

static cmodel_status read_listed(const integers *s, bytes *input, unsigned head, weights *w) {
    unsigned p = head & 7, r = head >> 3 & 7;
    bool holes = (head & 64) != 0, any = false;
    int64_t previous = 0, limit = INT64_C(1) << (p + 4);
    bit_reader bits = bits_of(*input);
    for (unsigned at = 0; at < w->symbols; at++) {
        int64_t value;
        if (holes) {
            unsigned k = take_ones(&bits, LONGEST_SKIP);
            if (k > LONGEST_SKIP)
                return bad_rans(s, "a run of unused symbols is too long");
            unsigned skipped = (1u << k) - 1 + bits_take(&bits, k);
            if (skipped >= w->symbols - at)
                return bad_rans(s, "a run of unused symbols goes beyond the last");
            at += skipped;
        }
        if (!any) {
            value = bits_take(&bits, p + 4);
        } else {
            unsigned most = 1u << (p + 5), q = take_ones(&bits, most);
            if (q > most)
                return bad_rans(s, "a difference of weights is too large");
            int64_t m = ((int64_t)q << r) + bits_take(&bits, r);
            value = previous + (m % 2 == 0 ? m / 2 : -(m + 1) / 2);
        }
        if (bits_over(&bits))
            return bad_rans(s, "it ends within its table");
        if (value < 0 || value >= limit)
            return bad_rans(s, "a weight out of range");
        uint64_t v = (uint64_t)value, one = UINT64_C(1) << p;
        w->used[at] = true;
        w->weight[at] = v < one ? v : (one + v % one) << (v / one - 1);
        previous = value;
        any = true;
    }
    *input = bits_rest(&bits);
    unsigned padding = (unsigned)((bits.count - bits.overdrawn) % 8);
    if ((bits.held & ((1u << padding) - 1)) != 0)
        return bad_rans(s, "the padding of the table is not zero");
    return CMODEL_OK;
}

static cmodel_status read_parametric(const integers *s, bytes *input, weights *w) {
    static const uint32_t octave[16] = {65536, 62757, 60097, 57549, 55109, 52773, 50535, 48393,
                                        46341, 44376, 42495, 40693, 38968, 37316, 35734, 34219};
    int64_t loss[RANS_SYMBOLS], least = INT64_MAX;
    uint64_t centre;
    uint8_t a, b;
    if (w->symbols < 2)
        return bad_rans(s, "a parametric table of one symbol");
    if (!take_shortest(input, 4 * (uint64_t)w->symbols, &centre) || !take_u8(input, &a) || !take_u8(input, &b))
        return bad_rans(s, "the parameters of its table");
    int64_t slope = (int64_t)(a & 15) << (a >> 4 & 7), bend = (int64_t)(b & 15) << (b >> 4);
    if (a & 128)
        slope = -slope;
    for (unsigned i = 0; i < w->symbols; i++) {
        int64_t d = 4 * (int64_t)i - (int64_t)centre;
        d = d < 0 ? -d : d;
        loss[i] = shift_down(slope * 512 * d + bend * d * d, 16);
        least = loss[i] < least ? loss[i] : least;
    }
    for (unsigned i = 0; i < w->symbols; i++) {
        int64_t k = loss[i] - least;
        w->used[i] = true;
        w->weight[i] = k / 16 > 16 ? 0 : octave[k % 16] >> (k / 16);
    }
    return CMODEL_OK;
}

static cmodel_status fill_table(const integers *s, const weights *w, rans_table *table) {
    uint64_t used = 0, all = 0, sum = 0, first = 0;
    for (unsigned i = 0; i < w->symbols; i++) {
        used += w->used[i];
        all += w->weight[i];
    }
    if (used < 2)
        return bad_rans(s, "a table of fewer than two symbols");
    if (all == 0)
        return bad_rans(s, "all weights are 0");
    for (unsigned i = 0; i < w->symbols; i++) {
        if (!w->used[i])
            continue;
        uint64_t shared = TOTAL - used, before = sum * shared / all;
        sum += w->weight[i];
        uint64_t frequency = 1 + sum * shared / all - before;
        table->frequency[i] = (uint16_t)frequency;
        table->first[i] = (uint16_t)first;
        for (uint64_t k = 0; k < frequency; k++)
            table->symbol[first++] = (uint16_t)i;
    }
    return CMODEL_OK;
}

cmodel_status rans_read_table(integers *s, bytes *input, unsigned bits, bool empty) {
    weights w = {0};
    uint64_t symbols;
    uint8_t head;
    if (!take_shortest(input, bits == 8 ? 256 : RANS_SYMBOLS, &symbols))
        return bad_rans(s, "the number of symbols");
    if ((symbols == 0) != empty)
        return bad_rans(s, "symbols without integers, or integers without symbols");
    s->symbols = (unsigned)symbols;
    if (symbols == 0)
        return CMODEL_OK;
    if (!take_u8(input, &head))
        return bad_rans(s, "it ends before its table");
    w.symbols = (unsigned)symbols;
    if (head == SINGLE) {
        s->constant = true;
        s->value = (uint16_t)(symbols - 1);
        return CMODEL_OK;
    }
    if (head > PARAMETRIC)
        return bad_rans(s, "the kind of its table");
    TRY(head == PARAMETRIC ? read_parametric(s, input, &w) : read_listed(s, input, head, &w));
    return fill_table(s, &w, &s->table.rans);
}

/* ---- 8.2 The payload ---- */

static inline uint32_t advance(const rans_table *table, uint32_t state, uint16_t *output) {
    uint32_t slot = state % TOTAL, symbol = table->symbol[slot];
    *output = (uint16_t)symbol;
    return table->frequency[symbol] * (state / TOTAL) + slot - table->first[symbol];
}

static cmodel_status read_lane(const integers *s, bytes chunk, uint16_t *output, size_t count) {
    const rans_table *table = &s->table.rans;
    uint32_t state = 0;
    size_t at = chunk.size < 4 ? chunk.size : 4;
    for (size_t i = at; i-- > 0;)
        state = state << 8 | chunk.data[i];
    if (chunk.size == 0)
        return bad_rans(s, "a chunk of no bytes");
    if (chunk.size <= 4 && chunk.data[chunk.size - 1] == 0)
        return bad_rans(s, "the last byte of a short chunk is 0");
    if (chunk.size > 4 && (chunk.size % 2 != 0 || state < LEAST_STATE))
        return bad_rans(s, "the state at the start of a chunk, or its size");
    for (size_t i = 0; i < count; i++) {
        state = advance(table, state, &output[i]);
        if (state < LEAST_STATE && at < chunk.size) {
            state = state << 16 | load16(chunk.data + at);
            at += 2;
        }
    }
    if (state != 1 || at < chunk.size)
        return bad_rans(s, "a chunk does not end where its integers do");
    return CMODEL_OK;
}

static cmodel_status read_lanes(const integers *s, bytes chunk, uint16_t *output, size_t count) {
    const rans_table *table = &s->table.rans;
    uint32_t state[LANES];
    size_t at = 4 * LANES;
    if (chunk.size < at || chunk.size % 2 != 0)
        return bad_rans(s, "the size of a wide chunk");
    for (size_t j = 0; j < LANES; j++) {
        state[j] = load32(chunk.data + 4 * j);
        if (state[j] < LEAST_STATE)
            return bad_rans(s, "the state at the start of a wide chunk");
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t *lane = &state[i % LANES];
        *lane = advance(table, *lane, &output[i]);
        if (*lane < LEAST_STATE) {
            if (at == chunk.size)
                return bad_rans(s, "a wide chunk ends before its integers");
            *lane = *lane << 16 | load16(chunk.data + at);
            at += 2;
        }
    }
    for (size_t j = 0; j < LANES; j++)
        if (state[j] != LEAST_STATE)
            return bad_rans(s, "a wide chunk does not end in the first state of its encoder");
    return at == chunk.size ? CMODEL_OK : bad_rans(s, "bytes follow the integers of a wide chunk");
}

cmodel_status rans_chunk(const integers *s, bytes chunk, uint16_t *output, size_t count) {
    return s->wide && count > CHUNK_SMALL ? read_lanes(s, chunk, output, count)
                                          : read_lane(s, chunk, output, count);
}
