/* Chapter 9: mask streams. */
#include "internal.h"

#include <stdlib.h>

enum { UNIT = 16384, CONTEXTS = 64, WEIGHTS = 4 };

/* ---- 9.1 The range decoder ---- */

typedef struct {
    bytes code_bytes;
    uint64_t position;
    uint32_t range, code;
    bool over; /* more code bytes are needed than there are */
} range_decoder;

static uint8_t next_byte(range_decoder *d) {
    uint64_t at = d->position++;
    if (d->position - 3 > d->code_bytes.size)
        d->over = d->position > 3;
    return at < d->code_bytes.size ? d->code_bytes.data[at] : 0;
}

static unsigned take_bit(range_decoder *d, uint32_t probability) {
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

static void start(range_decoder *d, bytes code_bytes) {
    d->code_bytes = code_bytes;
    d->position = 0;
    d->range = UINT32_MAX;
    d->code = 0;
    d->over = false;
    for (int i = 0; i < 4; i++)
        d->code = d->code << 8 | next_byte(d);
}

/* ---- 9.2 The model ---- */

static int64_t shift_down(int64_t value, unsigned count) {
    return value >= 0 ? value >> count : ~(~value >> count);
}

static int64_t lg(uint64_t v) {
    static const uint8_t fraction[64] = {
        0,   6,   11,  17,  22,  28,  33,  38,  44,  49,  54,  59,  63,  68,  73,  78,  82,  87,  92,  96,  100, 105,
        109, 113, 118, 122, 126, 130, 134, 138, 142, 146, 150, 154, 157, 161, 165, 169, 172, 176, 179, 183, 186, 190,
        193, 197, 200, 203, 207, 210, 213, 216, 220, 223, 226, 229, 232, 235, 238, 241, 244, 247, 250, 253};
    unsigned exponent = 0;
    while (v >> exponent > 1)
        exponent++;
    return 256 * (int64_t)exponent + fraction[(v * 64 >> exponent) - 64];
}

static uint32_t squash(int64_t x) {
    static const uint16_t logistic[33] = {32768, 38390, 43691, 48418, 52429, 55691, 58254, 60214, 61681,
                                          62762, 63550, 64119, 64528, 64820, 65028, 65176, 65281, 65355,
                                          65408, 65446, 65472, 65491, 65504, 65513, 65520, 65525, 65528,
                                          65530, 65532, 65533, 65534, 65535, 65535};
    uint32_t a = x < -4095 || x > 4095 ? 4095 : (uint32_t)(x < 0 ? -x : x);
    uint32_t low = logistic[a >> 7], high = logistic[(a >> 7) + 1];
    uint32_t p = low + ((high - low) * (a & 127) >> 7);
    return x >= 0 ? p : 65536 - p;
}

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

static unsigned context_of(const model *m, uint64_t j) {
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
    unsigned context = context_of(m, j);
    int64_t x[WEIGHTS], sum = 0;
    x[0] = m->bias;
    x[1] = stretch(m, m->column[j], m->rows_seen - m->column[j], 1);
    x[2] = stretch(m, ones, seen - ones, 24);
    x[3] = stretch(m, m->one[context], m->all[context] - m->one[context], 1);
    for (int i = 0; i < WEIGHTS; i++)
        sum += m->weight[i] * x[i];
    uint32_t q = squash(shift_down(sum, 16));
    unsigned bit = take_bit(&m->decoder, q);
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
        unsigned used = take_bit(&m->decoder, q);
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
    if (m->decoder.position - 3 != m->decoder.code_bytes.size)
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
    start(&m.decoder, stream);
    if (m.decoder.code == UINT32_MAX)
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
