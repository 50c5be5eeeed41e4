/* Which table is the cheapest for given counts: bits in 1/65536, all integers, so that the choice
 * is the same on every machine. */
#include <stdlib.h>
#include <string.h>

#include "cm_rans_table.h"

#define UNIT_BITS 16
/* A shape is looked for where the listed table takes this part of the stream or more. */
#define SHAPE_WORTH 128
#define SHAPE_ALPHABET 256

typedef struct {
    const uint64_t *histogram;
    uint32_t cost[CM_RANS_TOTAL + 1]; /* of a symbol with this frequency */
    uint32_t weights[CM_RANS_ALPHABET];
    uint16_t frequency[CM_RANS_ALPHABET];
    cm_rans_table trial;
} workspace;

/* log2(4096 / frequency), one bit after the other by squaring. */
static uint32_t cost_of(uint32_t frequency) {
    unsigned whole = 31 - (unsigned)__builtin_clz(frequency);
    uint64_t x = (uint64_t)frequency << (31 - whole); /* 1.0 is 2^31 */
    uint32_t log = whole;
    for (int i = 0; i < UNIT_BITS; i++) {
        x = x * x >> 31;
        uint32_t bit = (uint32_t)(x >> 32);
        x >>= bit;
        log = log << 1 | bit;
    }
    return (CM_RANS_BITS << UNIT_BITS) - log;
}

static uint64_t payload_cost(const workspace *w) {
    uint64_t bits = 0;
    for (uint32_t s = 0; s < w->trial.alphabet; s++)
        if (w->histogram[s]) bits += w->histogram[s] * w->cost[w->frequency[s]];
    return bits;
}

/* Frequencies from the levels in the trial table, and their cost together with the table's. */
static uint64_t try_listed(workspace *w, unsigned precision, unsigned holes) {
    cm_rans_table *t = &w->trial;
    uint64_t best = UINT64_MAX, fixed = precision + 4;
    uint32_t unused = 0;
    for (uint32_t s = 0; s < t->alphabet; s++) {
        w->weights[s] = cm_rans_weight(t->levels[s], precision);
        if (!t->used[s]) unused++;
        else if (holes) {
            fixed += 2 * (31 - (unsigned)__builtin_clz(unused + 1)) + 1;
            unused = 0;
        }
    }
    if (cm_rans_normalise(w->weights, t->used, t->alphabet, w->frequency) != CM_OK) return best;
    for (unsigned rice = 0; rice < 8; rice++) {
        uint64_t bits = fixed;
        int previous = -1;
        for (uint32_t s = 0; s < t->alphabet; s++) {
            if (!t->used[s]) continue;
            if (previous >= 0)
                bits += (cm_rans_zigzag(t->levels[s] - previous) >> rice) + 1 + rice;
            previous = t->levels[s];
        }
        if (bits < best) {
            best = bits;
            t->head = (uint8_t)(precision | rice << 3 | holes << 6);
        }
    }
    return ((best + 7) / 8 * 8 << UNIT_BITS) + payload_cost(w);
}

static uint64_t try_shape(workspace *w) {
    cm_rans_shape(&w->trial, w->weights);
    cm_rans_normalise(w->weights, w->trial.used, w->trial.alphabet, w->frequency);
    return ((uint64_t)(8 * (3 + (w->trial.centre > 127))) << UNIT_BITS) + payload_cost(w);
}

/* Tries all values of a parameter (those whose mantissa is normal, or the exponent 0). */
static int sweep(workspace *w, uint8_t *parameter, unsigned signs, uint64_t *best) {
    uint8_t chosen = *parameter;
    int better = 0;
    for (unsigned value = 0; value < 256; value++) {
        unsigned exponent = signs ? value >> 4 & 7 : value >> 4;
        if (exponent && (value & 15) < 8) continue;
        *parameter = (uint8_t)value;
        uint64_t cost = try_shape(w);
        if (cost < *best) {
            *best = cost;
            chosen = (uint8_t)value;
            better = 1;
        }
    }
    *parameter = chosen;
    return better;
}

/* Coordinate descent from the mean. */
static uint64_t find_shape(workspace *w) {
    cm_rans_table *t = &w->trial;
    uint64_t count = 0, sum = 0, best = UINT64_MAX;
    for (uint32_t s = 0; s < t->alphabet; s++) {
        count += w->histogram[s];
        sum += w->histogram[s] * s;
    }
    memset(t->used, 1, t->alphabet);
    t->head = CM_RANS_SHAPED;
    t->centre = (uint32_t)(4 * sum / count);
    t->slope = t->bend = 0;
    for (int round = 0, better = 1; better && round < 8; round++) {
        better = sweep(w, &t->bend, 0, &best);
        better |= sweep(w, &t->slope, 1, &best);
        for (int step = 16; step; step = step > 0 ? -step : -step / 2) {
            int64_t centre = (int64_t)t->centre + step;
            if (centre < 0 || centre > 4 * (int64_t)t->alphabet) continue;
            uint32_t before = t->centre;
            t->centre = (uint32_t)centre;
            uint64_t cost = try_shape(w);
            if (cost < best) {
                best = cost;
                better = 1;
            } else {
                t->centre = before;
            }
        }
    }
    return best;
}

static void build(workspace *w, uint64_t count, cm_rans_table *table, cm_rans *model) {
    cm_rans_table *t = &w->trial;
    uint64_t best = UINT64_MAX;
    uint32_t wanted[CM_RANS_ALPHABET];
    for (uint32_t f = 1; f <= CM_RANS_TOTAL; f++) w->cost[f] = cost_of(f);
    for (uint32_t s = 0; s < t->alphabet; s++) {
        t->used[s] = w->histogram[s] > 0;
        /* Counts up to 2^51; of more the lowest bits are of no account. */
        uint64_t ideal = count >> 51 ? w->histogram[s] / (count >> CM_RANS_BITS)
                                     : (w->histogram[s] * CM_RANS_TOTAL + count / 2) / count;
        wanted[s] = ideal ? (uint32_t)ideal - 1 : 0;
    }
    for (unsigned precision = 0; precision < 8; precision++) {
        for (uint32_t s = 0; s < t->alphabet; s++)
            t->levels[s] = (uint16_t)cm_rans_level(wanted[s], precision);
        uint64_t cost = try_listed(w, precision, model->used < t->alphabet);
        if (cost < best) {
            best = cost;
            *table = *t;
            memcpy(model->frequency, w->frequency, sizeof w->frequency);
        }
    }
    uint8_t space[CM_RANS_TABLE_BYTES];
    uint64_t bytes = cm_rans_table_put(table, space), total = best >> (UNIT_BITS + 3);
    if (t->alphabet > SHAPE_ALPHABET || bytes <= 5 || bytes * SHAPE_WORTH < total) return;
    uint64_t cost = find_shape(w);
    if (cost >= best) return;
    try_shape(w); /* the last trial was not the best one */
    *table = *t;
    memcpy(model->frequency, w->frequency, sizeof w->frequency);
    model->used = t->alphabet;
}

cm_status cm_rans_build(const uint64_t histogram[CM_RANS_ALPHABET], cm_rans_table *table,
                        cm_rans *model) {
    memset(table, 0, sizeof *table);
    memset(model, 0, sizeof *model);
    uint64_t count = 0;
    for (uint32_t s = 0; s < CM_RANS_ALPHABET; s++) {
        if (!histogram[s]) continue;
        model->used++;
        count += histogram[s];
        table->alphabet = model->alphabet = s + 1;
    }
    if (model->used == 1) {
        table->head = CM_RANS_SINGLE;
        model->frequency[model->alphabet - 1] = CM_RANS_TOTAL;
    }
    if (model->used < 2) return CM_OK;
    workspace *w = calloc(1, sizeof *w);
    if (!w) return CM_MEMORY;
    w->histogram = histogram;
    w->trial.alphabet = table->alphabet;
    build(w, count, table, model);
    free(w);
    return CM_OK;
}

uint64_t cm_rans_cost(const cm_rans *model, const uint64_t histogram[CM_RANS_ALPHABET]) {
    uint64_t bits = 0;
    for (uint32_t s = 0; s < CM_RANS_ALPHABET; s++) {
        if (!histogram[s]) continue;
        if (!model->frequency[s]) return UINT64_MAX;
        bits += histogram[s] * cost_of(model->frequency[s]);
    }
    return bits;
}
