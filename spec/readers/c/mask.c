/* Chapter 9: mask streams. */
#include "internal.h"

#include <stdlib.h>

enum { UNIT = 16384, CONTEXTS = 64, WEIGHTS = 4 };

/* ---- 9.2 The model ---- */

typedef struct {
    range_decoder decoder;
    uint64_t columns, period, left;
    int64_t weight[WEIGHTS], bias, p1, p0;
    uint32_t one[CONTEXTS], all[CONTEXTS];
    uint32_t used_rows, empty_rows, rows_seen;
    uint32_t *column;             /* ones of a column in the used rows */
    uint8_t *row, *above, *above2; /* elements of this used row and the two before */
} model;

static int64_t stretch(const model *m, uint64_t ones, uint64_t zeros, uint64_t k) {
    return lg(ones * UNIT + k * (uint64_t)m->p1) - lg(zeros * UNIT + k * (uint64_t)m->p0);
}

static unsigned mask_context(const model *m, uint64_t j) {
    unsigned context = m->above[j] * 4u + m->above2[j] * 8u;
    if (j >= 1)
        context += m->row[j - 1];
    if (j >= 2)
        context += m->row[j - 2] * 2u;
    if (m->period > 0 && j >= m->period)
        context += m->row[j - m->period] * 16u;
    if (m->period > 0 && j >= 2 * m->period)
        context += m->row[j - 2 * m->period] * 32u;
    return context;
}

static unsigned take_element(model *m, uint64_t j, uint64_t ones, uint64_t seen) {
    unsigned context = mask_context(m, j);
    int64_t x[WEIGHTS], sum = 0;
    x[0] = m->bias;
    x[1] = stretch(m, m->column[j], m->rows_seen - m->column[j], 1);
    x[2] = stretch(m, ones, seen - ones, 24);
    x[3] = stretch(m, m->one[context], m->all[context] - m->one[context], 1);
    for (int i = 0; i < WEIGHTS; i++)
        sum += m->weight[i] * x[i];
    uint32_t q = squash(shift_down(sum, 16));
    unsigned bit = range_bit(&m->decoder, q);
    int64_t error = 65536 * (int64_t)bit - (int64_t)q;
    for (int i = 0; i < WEIGHTS; i++) {
        int64_t weight = m->weight[i] + shift_down(x[i] * error + 32768, 16);
        m->weight[i] = weight < -524288 ? -524288 : weight > 524288 ? 524288 : weight;
    }
    m->column[j] += bit;
    m->one[context] += bit;
    m->left -= bit;
    if (++m->all[context] == 1024) {
        m->all[context] = 512;
        m->one[context] >>= 1;
    }
    return bit;
}

static cmodel_status too_short(const context *c) {
    return fail(c, CMODEL_BAD_STREAM, "mask stream: it ends before its elements");
}

static cmodel_status take_row(const context *c, model *m, uint64_t first, uint8_t *bitmap) {
    uint32_t ones = 0, seen = 0;
    uint64_t before = m->left;
    for (uint64_t j = 0; j < m->columns && m->left > 0; j++) {
        unsigned bit = take_element(m, j, ones, seen);
        if (m->decoder.over)
            return too_short(c);
        m->row[j] = (uint8_t)bit;
        bitmap[(first + j) / 8] |= (uint8_t)(bit << (first + j) % 8);
        ones += bit;
        if (++seen == 65535) {
            seen >>= 1;
            ones >>= 1;
        }
    }
    if (m->left == before)
        return fail(c, CMODEL_BAD_STREAM, "mask stream: a used row without a 1");
    uint8_t *oldest = m->above2;
    m->above2 = m->above;
    m->above = m->row;
    m->row = oldest;
    if (++m->rows_seen == 65535) {
        m->rows_seen >>= 1;
        for (uint64_t j = 0; j < m->columns; j++)
            m->column[j] >>= 1;
    }
    return CMODEL_OK;
}

static cmodel_status take_rows(const context *c, model *m, uint64_t rows, uint8_t *bitmap) {
    for (uint64_t row = 0; row < rows && m->left > 0; row++) {
        uint32_t q = squash(lg((uint64_t)m->used_rows * UNIT + UNIT / 2) -
                            lg((uint64_t)m->empty_rows * UNIT + UNIT / 2));
        unsigned used = range_bit(&m->decoder, q);
        if (m->decoder.over)
            return too_short(c);
        m->used_rows += used;
        m->empty_rows += 1 - used;
        if (used)
            TRY(take_row(c, m, row * m->columns, bitmap));
        if (m->used_rows + m->empty_rows == 65535) {
            m->used_rows >>= 1;
            m->empty_rows >>= 1;
        }
    }
    if (m->left > 0)
        return fail(c, CMODEL_BAD_STREAM, "mask stream: fewer ones than stated");
    if (!range_at_end(&m->decoder))
        return fail(c, CMODEL_BAD_STREAM, "mask stream: bytes follow its end");
    return CMODEL_OK;
}

static cmodel_status decode(const context *c, model *m, uint64_t rows, uint64_t count, uint8_t *bitmap) {
    m->left = count;
    m->p1 = 1 + (int64_t)(count * (UNIT - 2) / (rows * m->columns));
    m->p0 = UNIT - m->p1;
    m->bias = lg((uint64_t)m->p1) - lg((uint64_t)m->p0);
    m->weight[0] = -32768;
    m->weight[1] = 40960;
    m->weight[2] = 32768;
    m->weight[3] = 24576;
    if (m->decoder.over)
        return too_short(c);
    return take_rows(c, m, rows, bitmap);
}

cmodel_status mask_decode(const context *c, bytes stream, uint64_t rows, uint64_t columns, uint64_t count,
                          uint8_t *bitmap) {
    model m = {0};
    uint64_t all = rows * columns;
    if (count == 0 || count == all) {
        if (stream.size > 0)
            return fail(c, CMODEL_BAD_STREAM, "mask stream: it is not empty, but all elements are alike");
        for (uint64_t i = 0; i < count; i++)
            bitmap[i / 8] |= (uint8_t)(1u << i % 8);
        return CMODEL_OK;
    }
    if (!take_shortest(&stream, columns, &m.period))
        return fail(c, CMODEL_BAD_STREAM, "mask stream: its period");
    m.columns = columns;
    if (!range_start(&m.decoder, stream))
        return fail(c, CMODEL_BAD_STREAM, "mask stream: its code begins beyond the range");
    m.column = allocate(c, columns, sizeof *m.column);
    m.row = m.column == NULL ? NULL : allocate(c, columns, 3);
    cmodel_status status = CMODEL_LIMIT_MEMORY;
    if (m.row != NULL) {
        uint8_t *rows_of_elements = m.row;
        m.above = m.row + columns;
        m.above2 = m.above + columns;
        status = decode(c, &m, rows, count, bitmap);
        m.row = rows_of_elements;
    }
    free(m.row);
    free(m.column);
    return status;
}
