/* Frequencies from weights, and weights in few bytes: listed one by one, or as a shape. */
#include "cm_bytes.h"
#include "cm_rans_table.h"

static const uint32_t powers[16] = {65536, 62757, 60097, 57549, 55109, 52773, 50535, 48393,
                                    46341, 44376, 42495, 40693, 38968, 37316, 35734, 34219};

cm_status cm_rans_normalise(const uint32_t *weights, const uint8_t *used, uint32_t alphabet,
                            uint16_t *frequency) {
    uint64_t sum = 0, below = 0, count = 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        sum += used[s] ? weights[s] : 0;
        count += used[s];
    }
    if (!sum) return CM_CORRUPT;
    uint64_t spare = CM_RANS_TOTAL - count, before = 0;
    for (uint32_t s = 0; s < alphabet; s++) {
        frequency[s] = 0;
        if (!used[s]) continue;
        below += weights[s];
        uint64_t here = below * spare / sum;
        frequency[s] = (uint16_t)(1 + here - before);
        before = here;
    }
    return CM_OK;
}

uint32_t cm_rans_weight(uint32_t level, unsigned precision) {
    uint32_t one = 1u << precision;
    return level < one ? level : (one + (level & (one - 1))) << ((level >> precision) - 1);
}

uint32_t cm_rans_level(uint32_t weight, unsigned precision) {
    if (weight < 1u << precision) return weight;
    unsigned shift = 31 - (unsigned)__builtin_clz(weight) - precision;
    uint32_t mantissa = (weight + (shift ? 1u << (shift - 1) : 0)) >> shift;
    return (shift << precision) + mantissa; /* a mantissa rounded up carries by itself */
}

void cm_rans_shape(const cm_rans_table *table, uint32_t *weights) {
    int64_t slope = (int64_t)(table->slope & 15) << (table->slope >> 4 & 7), least = INT64_MAX;
    int64_t bend = (int64_t)(table->bend & 15) << (table->bend >> 4);
    int64_t loss[CM_RANS_ALPHABET];
    if (table->slope & 128) slope = -slope;
    for (uint32_t s = 0; s < table->alphabet; s++) {
        int64_t d = 4 * (int64_t)s - table->centre;
        if (d < 0) d = -d;
        loss[s] = (512 * slope * d + bend * d * d) >> 16; /* arithmetic: rounds down */
        if (loss[s] < least) least = loss[s];
    }
    for (uint32_t s = 0; s < table->alphabet; s++) {
        int64_t k = loss[s] - least;
        weights[s] = k >> 4 > 16 ? 0 : powers[k & 15] >> (k >> 4);
    }
}

typedef struct {
    uint8_t *dst;
    uint64_t bits;
    unsigned held;
} bit_writer;

static void put_bits(bit_writer *w, uint32_t value, unsigned count) {
    w->bits |= (uint64_t)value << w->held;
    for (w->held += count; w->held >= 8; w->held -= 8) {
        *w->dst++ = (uint8_t)w->bits;
        w->bits >>= 8;
    }
}

static void put_ones(bit_writer *w, uint32_t count) {
    for (; count >= 16; count -= 16) put_bits(w, 0xFFFF, 16);
    put_bits(w, (1u << count) - 1, count + 1);
}

size_t cm_rans_table_put(const cm_rans_table *table, uint8_t *dst) {
    size_t start = cm_varint_put(dst, table->alphabet);
    if (!table->alphabet) return start;
    dst[start++] = table->head;
    if (table->head == CM_RANS_SINGLE) return start;
    if (table->head == CM_RANS_SHAPED) {
        start += cm_varint_put(dst + start, table->centre);
        dst[start++] = table->slope;
        dst[start++] = table->bend;
        return start;
    }
    unsigned precision = table->head & 7, rice = table->head >> 3 & 7, holes = table->head >> 6;
    bit_writer w = {dst + start, 0, 0};
    uint32_t unused = 0;
    int previous = -1;
    for (uint32_t s = 0; s < table->alphabet; s++) {
        if (!table->used[s]) {
            unused++;
            continue;
        }
        if (holes) {
            unsigned k = 31 - (unsigned)__builtin_clz(unused + 1);
            put_ones(&w, k);
            put_bits(&w, unused + 1 - (1u << k), k);
            unused = 0;
        }
        int level = table->levels[s];
        if (previous < 0) {
            put_bits(&w, (uint32_t)level, precision + 4);
        } else {
            uint32_t m = cm_rans_zigzag(level - previous);
            put_ones(&w, m >> rice);
            put_bits(&w, m & ((1u << rice) - 1), rice);
        }
        previous = level;
    }
    if (w.held) put_bits(&w, 0, 8 - w.held);
    return (size_t)(w.dst - dst);
}

typedef struct {
    const uint8_t *src;
    size_t size, bit; /* bytes, and bits read */
} bit_reader;

/* Up to 32 bits, zeros after the end (the caller compares `bit` with the size). */
static uint32_t get_bits(bit_reader *r, unsigned count) {
    uint64_t word = cm_load_tail(r->src, r->size, r->bit >> 3) >> (r->bit & 7);
    r->bit += count;
    return (uint32_t)(word & (((uint64_t)1 << count) - 1));
}

/* The number of ones before a zero, at most `most` + 1. */
static uint32_t get_ones(bit_reader *r, uint32_t most) {
    uint32_t count = 0;
    while (count <= most && get_bits(r, 1)) count++;
    return count;
}

static cm_status get_listed(const uint8_t *src, size_t size, size_t *at, cm_rans_table *table,
                            cm_fault *fault) {
    unsigned precision = table->head & 7, rice = table->head >> 3 & 7, holes = table->head >> 6;
    bit_reader r = {src + *at, size - *at, 0};
    int32_t previous = -1, limit = 16 << precision;
    for (uint32_t s = 0; s < table->alphabet; s++) {
        size_t here = *at + (r.bit >> 3);
        if (holes) {
            uint32_t k = get_ones(&r, 11);
            if (k > 11) return cm_fail(fault, CM_CORRUPT, here, "too many unused symbols");
            uint32_t unused = (1u << k) - 1 + get_bits(&r, k);
            if (unused >= table->alphabet - s)
                return cm_fail(fault, CM_CORRUPT, here, "too many unused symbols");
            s += unused;
        }
        int32_t level;
        if (previous < 0) {
            level = (int32_t)get_bits(&r, precision + 4);
        } else {
            uint32_t most = 2 * (uint32_t)limit, q = get_ones(&r, most);
            if (q > most) return cm_fail(fault, CM_CORRUPT, here, "a weight is out of range");
            uint32_t m = q << rice | get_bits(&r, rice);
            level = previous + (m & 1 ? -(int32_t)(m / 2) - 1 : (int32_t)(m / 2));
        }
        if (r.bit > 8 * r.size)
            return cm_fail(fault, CM_TRUNCATED, size, "ends inside the table");
        if (level < 0 || level >= limit)
            return cm_fail(fault, CM_CORRUPT, here, "a weight is out of range");
        table->used[s] = 1;
        table->levels[s] = (uint16_t)level;
        previous = level;
    }
    if (r.bit & 7 && get_bits(&r, 8 - (r.bit & 7)))
        return cm_fail(fault, CM_CORRUPT, *at + (r.bit >> 3) - 1,
                       "padding after the table is not zero");
    *at += r.bit >> 3;
    return CM_OK;
}

cm_status cm_rans_table_get(const uint8_t *src, size_t size, cm_rans *model, size_t *used,
                            cm_fault *fault) {
    memset(model, 0, sizeof *model);
    cm_rans_table table = {0};
    uint32_t weights[CM_RANS_ALPHABET];
    size_t at = cm_varint_get(src, size, &table.alphabet);
    if (!at) return cm_fail(fault, size ? CM_CORRUPT : CM_TRUNCATED, 0, "no alphabet size");
    if (table.alphabet > CM_RANS_ALPHABET)
        return cm_fail(fault, CM_CORRUPT, 0, "alphabet of over 2048 symbols");
    model->alphabet = table.alphabet;
    *used = at;
    if (!table.alphabet) return CM_OK;
    if (at == size) return cm_fail(fault, CM_TRUNCATED, size, "no table");
    table.head = src[at++];
    if (table.head == CM_RANS_SINGLE) {
        model->frequency[table.alphabet - 1] = CM_RANS_TOTAL;
        model->used = 1;
        *used = at;
        return CM_OK;
    }
    size_t start = at;
    if (table.head == CM_RANS_SHAPED) {
        size_t bytes = cm_varint_get(src + at, size - at, &table.centre);
        if (!bytes || size - at - bytes < 2)
            return cm_fail(fault, CM_TRUNCATED, size, "ends inside the table");
        if (table.centre > 4 * table.alphabet)
            return cm_fail(fault, CM_CORRUPT, at, "the centre lies outside the alphabet");
        at += bytes;
        table.slope = src[at++];
        table.bend = src[at++];
        memset(table.used, 1, table.alphabet);
        cm_rans_shape(&table, weights);
    } else if (table.head < CM_RANS_SHAPED) {
        cm_status status = get_listed(src, size, &at, &table, fault);
        if (status != CM_OK) return status;
        for (uint32_t s = 0; s < table.alphabet; s++)
            weights[s] = cm_rans_weight(table.levels[s], table.head & 7);
    } else {
        return cm_fail(fault, CM_CORRUPT, at - 1, "no such table");
    }
    for (uint32_t s = 0; s < table.alphabet; s++) model->used += table.used[s];
    if (model->used < 2)
        return cm_fail(fault, CM_CORRUPT, start, "a table of a single symbol");
    if (cm_rans_normalise(weights, table.used, table.alphabet, model->frequency) != CM_OK)
        return cm_fail(fault, CM_CORRUPT, start, "all weights are zero");
    *used = at;
    return CM_OK;
}
