#include "cm_mask.h"

#include <stdlib.h>

#include "cm_bytes.h"
#include "cm_range.h"

enum { UNIT = 1 << 14, INPUTS = 4, CONTEXTS = 64 };
enum { ROW_PRIOR = 24, PAIR_LIMIT = 65535, CONTEXT_LIMIT = 1024 };
enum { WEIGHT_LIMIT = 1 << 19 };
#define LEAST_RANGE ((uint32_t)1 << 24)

typedef struct {
    uint16_t *ones;   /* of each column */
    uint8_t *history; /* of each column: bit 0 this row, 1 and 2 the used rows before */
    uint32_t used_rows;
    uint32_t prior1, prior0;
    int64_t weights[INPUTS];
    uint16_t context_ones[CONTEXTS], context_all[CONTEXTS];
} model;

INLINE int stretch(const model *m, uint32_t ones, uint32_t zeros, uint32_t strength) {
    return log_of(ones * UNIT + strength * m->prior1) - log_of(zeros * UNIT + strength * m->prior0);
}

/* Codes the elements of a used row up to the last 1 of the matrix; `*positions` moves on. */
INLINE void code_row(coder *c, model *m, const cm_mask *mask, size_t first, int64_t **positions,
                     const int64_t *end, int encoding) {
    const int bias = log_of(m->prior1) - log_of(m->prior0);
    const size_t period = mask->period;
    uint32_t ones = 0, seen = 0;
    for (size_t j = 0; j < mask->columns && *positions < end; j++) {
        if (!encoding && is_over(c)) return;
        unsigned context = (unsigned)(m->history[j] >> 1 & 3) << 2;
        if (j) context |= m->history[j - 1] & 1u;
        if (j > 1) context |= (m->history[j - 2] & 1u) << 1;
        if (period && j >= period) {
            context |= (m->history[j - period] & 1u) << 4;
            if (j - period >= period) context |= (m->history[j - 2 * period] & 1u) << 5;
        }
        uint32_t one = m->context_ones[context], all = m->context_all[context];
        int x[INPUTS] = {bias, stretch(m, m->ones[j], m->used_rows - m->ones[j], 1),
                         stretch(m, ones, seen - ones, ROW_PRIOR), stretch(m, one, all - one, 1)};
        int64_t sum = 0;
        for (int i = 0; i < INPUTS; i++) sum += m->weights[i] * x[i];
        uint32_t q = squash(sum >> 16);
        int bit = code_bit(c, q, encoding && **positions == (int64_t)(first + j), encoding);
        int64_t error = (bit << 16) - (int64_t)q;
        for (int i = 0; i < INPUTS; i++) {
            int64_t w = m->weights[i] + ((x[i] * error + 32768) >> 16);
            m->weights[i] = w > WEIGHT_LIMIT ? WEIGHT_LIMIT : w < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : w;
        }
        m->history[j] |= (uint8_t)bit;
        m->ones[j] += (uint16_t)bit;
        ones += (uint32_t)bit;
        if (++seen == PAIR_LIMIT) {
            seen >>= 1;
            ones >>= 1;
        }
        one += (uint32_t)bit;
        if (++all == CONTEXT_LIMIT) {
            all >>= 1;
            one >>= 1;
        }
        m->context_ones[context] = (uint16_t)one;
        m->context_all[context] = (uint16_t)all;
        if (bit) {
            if (!encoding) **positions = (int64_t)(first + j);
            ++*positions;
        }
    }
    for (size_t j = 0; j < mask->columns; j++) m->history[j] = (uint8_t)(m->history[j] << 1 & 6);
    if (++m->used_rows == PAIR_LIMIT) {
        m->used_rows >>= 1;
        for (size_t j = 0; j < mask->columns; j++) m->ones[j] >>= 1;
    }
}

static void encode_row(coder *c, model *m, const cm_mask *mask, size_t first, int64_t **positions,
                       const int64_t *end) {
    code_row(c, m, mask, first, positions, end, 1);
}

static void decode_row(coder *c, model *m, const cm_mask *mask, size_t first, int64_t **positions,
                       const int64_t *end) {
    code_row(c, m, mask, first, positions, end, 0);
}

static cm_status begin(model *m, const cm_mask *mask) {
    size_t size = mask->rows * mask->columns;
    m->prior1 = (uint32_t)(1 + (uint64_t)mask->count * (UNIT - 2) / size);
    m->prior0 = UNIT - m->prior1;
    m->weights[0] = -32768;
    m->weights[1] = 40960;
    m->weights[2] = 32768;
    m->weights[3] = 24576;
    m->ones = calloc(mask->columns, sizeof *m->ones);
    m->history = calloc(mask->columns, sizeof *m->history);
    return m->ones && m->history ? CM_OK : CM_MEMORY;
}

static void end(model *m) {
    free(m->ones);
    free(m->history);
}

/* Codes all rows. A fault leaves the loop at the end of the row that shows it. */
INLINE cm_status code_rows(coder *c, model *m, const cm_mask *mask, int64_t *positions, int encoding,
                           cm_fault *fault) {
    const int64_t *last = positions + mask->count;
    uint32_t used = 0, empty = 0;
    for (size_t row = 0; row < mask->rows && positions < last; row++) {
        size_t first = row * mask->columns;
        uint32_t q = squash(log_of(used * UNIT + UNIT / 2) - log_of(empty * UNIT + UNIT / 2));
        int any = encoding && *positions < (int64_t)(first + mask->columns);
        if (code_bit(c, q, any, encoding)) {
            const int64_t *before = positions;
            used++;
            if (encoding) encode_row(c, m, mask, first, &positions, last);
            else decode_row(c, m, mask, first, &positions, last);
            if (!encoding && is_over(c)) break;
            if (positions == before)
                return cm_fail(fault, CM_CORRUPT, c->at - 4, "a used row without a one");
        } else {
            empty++;
            if (!encoding && is_over(c)) break;
        }
        if (used + empty == PAIR_LIMIT) {
            used >>= 1;
            empty >>= 1;
        }
    }
    if (!encoding && is_over(c))
        return cm_fail(fault, CM_TRUNCATED, c->size, "ends before its last one");
    return positions == last
               ? CM_OK
               : cm_fail(fault, CM_CORRUPT, c->size, "fewer ones than there should be");
}

cm_status cm_mask_encode(const cm_mask *mask, const int64_t *positions, uint8_t **data,
                         size_t *size) {
    *data = NULL;
    *size = 0;
    if (!mask->count || mask->count == mask->rows * mask->columns) return CM_OK;
    coder c = {.range = UINT32_MAX};
    model m = {0};
    cm_fault fault;
    uint8_t period[5];
    size_t bytes = cm_varint_put(period, (uint32_t)mask->period);
    for (size_t i = 0; i < bytes; i++) put_byte(&c, period[i]);
    cm_status status = begin(&m, mask);
    if (status == CM_OK) status = code_rows(&c, &m, mask, (int64_t *)positions, 1, &fault);
    end(&m);
    if (status == CM_OK) {
        c.low += LEAST_RANGE - 1;
        shift_out(&c);
        status = c.status;
    }
    if (status != CM_OK) {
        free(c.out);
        return status;
    }
    *data = c.out;
    *size = c.written;
    return CM_OK;
}

cm_status cm_mask_decode(const uint8_t *src, size_t size, cm_mask *mask, int64_t *positions,
                         cm_fault *fault) {
    if (!mask->count || mask->count == mask->rows * mask->columns) {
        if (size) return cm_fail(fault, CM_CORRUPT, 0, "bytes after its end");
        for (size_t i = 0; i < mask->count; i++) positions[i] = (int64_t)i;
        return CM_OK;
    }
    uint32_t period;
    size_t start = cm_varint_get(src, size, &period);
    if (!start) return cm_fail(fault, size ? CM_CORRUPT : CM_TRUNCATED, 0, "no period");
    if (period > mask->columns)
        return cm_fail(fault, CM_CORRUPT, 0, "the period is longer than a row");
    mask->period = period;
    coder c;
    model m = {0};
    if (!begin_decoding(&c, src, size, start))
        return cm_fail(fault, CM_CORRUPT, start, "the code begins beyond the range");
    cm_status status = begin(&m, mask);
    if (status == CM_OK) status = code_rows(&c, &m, mask, positions, 0, fault);
    else cm_fail(fault, status, 0, "no memory");
    end(&m);
    if (status == CM_OK && c.at - 3 < size)
        return cm_fail(fault, CM_CORRUPT, c.at - 3, "bytes after its end");
    return status;
}
