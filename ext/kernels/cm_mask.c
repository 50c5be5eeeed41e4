#include "cm_mask.h"

#include <stdlib.h>

#include "cm_bytes.h"

#define INLINE static inline __attribute__((always_inline))

enum { UNIT = 1 << 14, INPUTS = 4, CONTEXTS = 64 };
enum { ROW_PRIOR = 24, PAIR_LIMIT = 65535, CONTEXT_LIMIT = 1024 };
enum { WEIGHT_LIMIT = 1 << 19 };
#define LEAST_RANGE ((uint32_t)1 << 24)

/* 256 log2(1 + f / 64) */
static const uint8_t logs[64] = {
    0,   6,   11,  17,  22,  28,  33,  38,  44,  49,  54,  59,  63,  68,  73,  78,
    82,  87,  92,  96,  100, 105, 109, 113, 118, 122, 126, 130, 134, 138, 142, 146,
    150, 154, 157, 161, 165, 169, 172, 176, 179, 183, 186, 190, 193, 197, 200, 203,
    207, 210, 213, 216, 220, 223, 226, 229, 232, 235, 238, 241, 244, 247, 250, 253};

/* 65536 / (1 + 2^(-i / 2)), at most 65535 */
static const uint16_t logistic[33] = {
    32768, 38390, 43691, 48418, 52429, 55691, 58254, 60214, 61681, 62762, 63550,
    64119, 64528, 64820, 65028, 65176, 65281, 65355, 65408, 65446, 65472, 65491,
    65504, 65513, 65520, 65525, 65528, 65530, 65532, 65533, 65534, 65535, 65535};

INLINE int log_of(uint32_t v) {
    int e = 31 - __builtin_clz(v);
    uint32_t aligned = v << (31 - e);
    return 256 * e + logs[aligned >> 25 & 63];
}

/* Probability of a 1 in 1/65536, from its logit in 1/256 octave. */
INLINE uint32_t squash(int64_t x) {
    int64_t a = x < 0 ? -x : x;
    if (a > 4095) a = 4095;
    int i = (int)(a >> 7), f = (int)(a & 127);
    uint32_t p = logistic[i] + (uint32_t)((logistic[i + 1] - logistic[i]) * f >> 7);
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

static void put_byte(coder *c, uint8_t byte) {
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
static void shift_out(coder *c) {
    if (c->low >> 32) {
        size_t i = c->written;
        while (i && ++c->out[--i] == 0) continue;
    }
    put_byte(c, (uint8_t)(c->low >> 24));
    c->low = (uint32_t)c->low << 8;
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
    coder c = {.range = UINT32_MAX, .src = src, .size = size, .at = start + 4};
    model m = {0};
    for (size_t i = start; i < start + 4; i++) c.code = c.code << 8 | (i < size ? src[i] : 0);
    if (c.code == UINT32_MAX)
        return cm_fail(fault, CM_CORRUPT, start, "the code begins beyond the range");
    cm_status status = begin(&m, mask);
    if (status == CM_OK) status = code_rows(&c, &m, mask, positions, 0, fault);
    else cm_fail(fault, status, 0, "no memory");
    end(&m);
    if (status == CM_OK && c.at - 3 < size)
        return cm_fail(fault, CM_CORRUPT, c.at - 3, "bytes after its end");
    return status;
}
