#include "cm_context.h"

#include <stdlib.h>
#include <string.h>

#include "cm_bytes.h"
#include "cm_range.h"

enum { INPUTS = 6, UNARY = 7, DECISIONS = 2 * UNARY, SIGN = DECISIONS, SETS = DECISIONS + 1 };
enum { MAX_COUNT = 255, ROW_COUNT = 62, COLUMN_COUNT = 30 };
enum { WEIGHT = 13000, WEIGHT_LIMIT = (1 << 17) - 1 };
enum { HALF = 32768, MORE = 20000, ESCAPES = 15 };
enum { FLAG_TRELLIS = 1, FLAG_DISTANCES = 2 };

/* Counters of each input: contexts, and where they begin. */
enum { AT0 = 0, AT1 = 1, AT2 = AT1 + 32, AT3 = AT2 + 64, AT4 = AT3 + 64, AT5 = AT4 + 96 };
enum { CONTEXTS = AT5 + 256 };
enum { SIGN1 = 1, SIGN2 = SIGN1 + 9, SIGN3 = SIGN2 + 9, SIGN4 = SIGN3 + 81, SIGN5 = SIGN4 + 81 };
enum { SIGNS = SIGN5 + 81 };

static const uint8_t next_state[8][2] = {{0, 2}, {5, 7}, {1, 3}, {6, 4},
                                         {2, 0}, {4, 6}, {3, 1}, {7, 5}};

typedef struct {
    uint16_t p, n; /* probability of a 1 in 1/65536; decisions seen, at most MAX_COUNT */
} counter;

typedef struct {
    coder c;
    int16_t stretched[4096];
    int32_t rate[MAX_COUNT + 1];
    int32_t weights[SETS][INPUTS];
    counter magnitudes[CONTEXTS][DECISIONS], signs[SIGNS];
    counter exponents[ESCAPES], mantissas[ESCAPES];
    int32_t *rows[3]; /* this row and the two before; all zero before the first */
    int32_t *means;   /* of the magnitudes in each column, in 1/256 */
} model;

INLINE int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

INLINE int32_t clamp(int32_t x, int32_t limit) { return x < -limit ? -limit : x > limit ? limit : x; }

INLINE int32_t magnitude(int32_t x) { return x < 0 ? -x : x; }

/* Two steps an octave. */
INLINE int32_t bucket(int32_t v) {
    if (v < 4) return v;
    int e = 31 - __builtin_clz((unsigned)v);
    return 2 * e + (v >> (e - 1) & 1);
}

INLINE void learn(const model *m, counter *one, int bit) {
    one->p = (uint16_t)(one->p + (((bit ? 65535 : 0) - one->p) * m->rate[one->n] >> 14));
    one->n = (uint16_t)least(one->n + 1, MAX_COUNT);
}

/* Codes a bit by the mixed predictions of six counters. */
INLINE int mixed_bit(model *m, int32_t *weights, counter *const *inputs, int bit, int encoding) {
    int32_t x[INPUTS], sum = 0;
    for (int i = 0; i < INPUTS; i++) {
        if (i && !inputs[i]->n) *inputs[i] = (counter){inputs[0]->p, 1};
        x[i] = m->stretched[inputs[i]->p >> 4];
        sum += weights[i] * x[i];
    }
    uint32_t q = squash(sum >> 15);
    bit = code_bit(&m->c, q, bit, encoding);
    int32_t error = (bit << 16) - (int32_t)q;
    for (int i = 0; i < INPUTS; i++) {
        weights[i] = clamp(weights[i] + ((x[i] * error + 8192) >> 14), WEIGHT_LIMIT);
        learn(m, inputs[i], bit);
    }
    return bit;
}

INLINE int plain_bit(model *m, counter *one, int bit, int encoding) {
    uint32_t q = one->p < 32 ? 32 : one->p > 65504 ? 65504 : one->p;
    bit = code_bit(&m->c, q, bit, encoding);
    learn(m, one, bit);
    return bit;
}

/* Codes what a magnitude is above UNARY, from 0 to 65534. */
static int32_t code_escape(model *m, int32_t rest, int encoding) {
    uint32_t e = encoding ? (uint32_t)rest + 1 : 1;
    int k = 0, bits = 31 - __builtin_clz(e);
    while (k < ESCAPES && plain_bit(m, &m->exponents[k], k < bits, encoding)) k++;
    uint32_t value = 1;
    for (int i = k - 1; i >= 0; i--)
        value = value << 1 | (uint32_t)plain_bit(m, &m->mantissas[i], (int)(e >> i & 1), encoding);
    return (int32_t)value - 1;
}

INLINE int32_t sign_of(int32_t x) { return x > 0 ? 2 : x < 0; }

/* Codes the `columns` integers of a row. `ints` are unsigned, of `item` bytes. */
INLINE const char *code_row(model *m, const cm_context *matrix, size_t row, uint8_t *ints,
                            unsigned item, int encoding) {
    int32_t *cur = m->rows[0];
    const int32_t *up = m->rows[1], *up2 = m->rows[2];
    const size_t width = matrix->width, period = matrix->period;
    const size_t cycle = period ? period : width ? width : 1;
    const int32_t column_rate = m->rate[row < COLUMN_COUNT ? row + 1 : COLUMN_COUNT];
    const int32_t top = item == 1 ? 255 : 65535, zero = (int32_t)matrix->zero;
    int32_t mean = 0;
    size_t place = 0;
    unsigned state = 0;
    for (size_t j = 0; j < matrix->columns; j++) {
        if (!encoding && is_over(&m->c)) return NULL;
        int32_t v = 0;
        if (encoding) v = (item == 1 ? ints[j] : ((const uint16_t *)(void *)ints)[j]) - zero;
        const int32_t l = j ? cur[j - 1] : 0, l2 = j > 1 ? cur[j - 2] : 0;
        const int32_t w = width && j >= width ? cur[j - width] : 0;
        const int32_t c = period && j >= period ? cur[j - period] : 0;
        const int32_t al = magnitude(l), aw = magnitude(w), au = magnitude(up[j]);
        const int quantizer = matrix->trellis ? state & 1 : 0, first = UNARY * quantizer;
        counter *inputs[INPUTS];
        counter(*contexts[INPUTS])[DECISIONS] = {
            m->magnitudes,
            m->magnitudes + AT1 + bucket(m->means[j] >> 2),
            m->magnitudes + AT2 + least(al, 3) + 4 * least(aw, 3) + 16 * least(au, 3),
            m->magnitudes + AT3 + least(bucket(2 * (al + aw) + au + magnitude(c)), 31),
            m->magnitudes + AT4 + (place & 63),
            m->magnitudes + AT5 + 16 * least(bucket(m->means[j] >> 3), 15) +
                least(bucket(mean >> 3), 15)};
        for (int i = 0; i < INPUTS; i++) inputs[i] = &(*contexts[i])[first];
        if (mixed_bit(m, m->weights[first], inputs, v != 0, encoding)) {
            const int32_t wl = width && j > width ? cur[j - width - 1] : 0;
            const int32_t wr = width > 1 && j + 1 >= width ? cur[j + 1 - width] : 0;
            const int32_t w2 = width && j >= width && j - width >= width ? cur[j - 2 * width] : 0;
            const int32_t tl = sign_of(l), tw = sign_of(w), tu = sign_of(up[j]), tc = sign_of(c);
            inputs[0] = m->signs;
            inputs[1] = m->signs + SIGN1 + tl + 3 * tw;
            inputs[2] = m->signs + SIGN2 + tu + 3 * tc;
            inputs[3] = m->signs + SIGN3 + tl + 3 * tu + 9 * tw + 27 * tc;
            inputs[4] = m->signs + SIGN4 + sign_of(l2) + 3 * sign_of(up2[j]) + 9 * tl + 27 * tu;
            inputs[5] = m->signs + SIGN5 + tw + 3 * sign_of(wl) + 9 * sign_of(wr) + 27 * sign_of(w2);
            int negative = mixed_bit(m, m->weights[SIGN], inputs, v < 0, encoding);
            const int32_t s = negative ? -1 : 1;
            contexts[3] = m->magnitudes + AT3 + 47 + clamp(s * (2 * (l + w) + up[j] + c), 15);
            contexts[4] = m->magnitudes + AT4 + 76 + 5 * clamp(s * l, 2) + clamp(s * w, 2);
            int32_t a = magnitude(v), seen = 1;
            while (seen < UNARY) {
                for (int i = 0; i < INPUTS; i++) inputs[i] = &(*contexts[i])[first + seen];
                if (!mixed_bit(m, m->weights[first + seen], inputs, a > seen, encoding)) break;
                seen++;
            }
            if (seen == UNARY) seen += code_escape(m, a - UNARY, encoding);
            v = s * seen;
        }
        if (!encoding) {
            int32_t value = zero + v;
            if (value < 0 || value > top) return "an integer out of range";
            if (item == 1) ints[j] = (uint8_t)value;
            else ((uint16_t *)(void *)ints)[j] = (uint16_t)value;
        }
        int32_t level = v;
        if (matrix->trellis) {
            level = 2 * v - quantizer * ((v > 0) - (v < 0));
            state = next_state[state][v & 1];
        }
        cur[j] = level;
        const int32_t size = least(magnitude(level), 255) << 8;
        mean += (size - mean) * m->rate[j < ROW_COUNT ? j + 1 : ROW_COUNT] >> 14;
        m->means[j] += (size - m->means[j]) * column_rate >> 14;
        if (++place == cycle) place = 0;
    }
    m->rows[0] = m->rows[2];
    m->rows[2] = m->rows[1];
    m->rows[1] = cur;
    return NULL;
}

static const char *encode_row(model *m, const cm_context *matrix, size_t row, uint8_t *ints,
                              unsigned item) {
    return code_row(m, matrix, row, ints, item, 1);
}

static const char *decode_row8(model *m, const cm_context *matrix, size_t row, uint8_t *ints) {
    return code_row(m, matrix, row, ints, 1, 0);
}

static const char *decode_row16(model *m, const cm_context *matrix, size_t row, uint8_t *ints) {
    return code_row(m, matrix, row, ints, 2, 0);
}

static model *new_model(size_t columns) {
    if (columns > SIZE_MAX / (4 * sizeof(int32_t))) return NULL;
    model *m = calloc(1, sizeof *m);
    int32_t *columnwise = m ? calloc(columns, 4 * sizeof *columnwise) : NULL;
    if (!columnwise) {
        free(m);
        return NULL;
    }
    m->means = columnwise;
    for (int i = 0; i < 3; i++) m->rows[i] = columnwise + columns * (size_t)(i + 1);
    for (int i = 0; i < 4096; i++)
        m->stretched[i] =
            (int16_t)((log_of(2 * (uint32_t)i + 1) - log_of(8191 - 2 * (uint32_t)i)) >> 1);
    for (int i = 0; i <= MAX_COUNT; i++) m->rate[i] = 32768 / (2 * i + 3);
    for (int i = 0; i < SETS; i++)
        for (int k = 0; k < INPUTS; k++) m->weights[i][k] = WEIGHT;
    for (int i = 0; i < DECISIONS; i++) m->magnitudes[AT0][i].p = i % UNARY ? MORE : HALF;
    m->signs[0].p = HALF;
    for (int i = 0; i < ESCAPES; i++) m->exponents[i].p = m->mantissas[i].p = HALF;
    return m;
}

static void free_model(model *m) {
    if (m) free(m->means);
    free(m);
}

cm_status cm_context_encode(const cm_context *matrix, const void *ints, unsigned item, size_t count,
                            uint8_t **data, size_t *size) {
    *data = NULL;
    *size = 0;
    if (!count) return CM_OK;
    model *m = new_model(matrix->columns);
    if (!m) return CM_MEMORY;
    m->c.range = UINT32_MAX;
    const int distances = matrix->width || matrix->period;
    const size_t rows = count / matrix->columns;
    const uint32_t numbers[4] = {(uint32_t)rows, matrix->zero, (uint32_t)matrix->width,
                                 (uint32_t)matrix->period};
    put_byte(&m->c, (uint8_t)((matrix->trellis ? FLAG_TRELLIS : 0) | (distances ? FLAG_DISTANCES : 0)));
    for (int i = 0; i < (distances ? 4 : 2); i++) {
        uint8_t bytes[5];
        size_t length = cm_varint_put(bytes, numbers[i]);
        for (size_t k = 0; k < length; k++) put_byte(&m->c, bytes[k]);
    }
    uint8_t *at = (uint8_t *)(uintptr_t)ints;
    for (size_t row = 0; row < rows; row++)
        encode_row(m, matrix, row, at + row * matrix->columns * item, item);
    end_encoding(&m->c);
    cm_status status = m->c.status;
    if (status == CM_OK) {
        *data = m->c.out;
        *size = m->c.written;
    } else {
        free(m->c.out);
    }
    free_model(m);
    return status;
}

/* Reads the head; returns where the code begins, or 0 after a fault. */
static size_t read_head(const uint8_t *src, size_t size, unsigned item, size_t count,
                        cm_context *matrix, cm_fault *fault) {
    uint32_t numbers[4] = {0}; /* rows, zero, width, period */
    size_t at = 1;
    const int stated = size && src[0] & FLAG_DISTANCES ? 4 : 2;
    if (size && src[0] & ~(FLAG_TRELLIS | FLAG_DISTANCES))
        return (void)cm_fail(fault, CM_CORRUPT, 0, "an unknown flag"), (size_t)0;
    for (int i = 0; i < stated; i++) {
        size_t length = at < size ? cm_varint_get(src + at, size - at, &numbers[i]) : 0;
        if (!length) return (void)cm_fail(fault, CM_CORRUPT, at, "no whole head"), (size_t)0;
        at += length;
    }
    const char *what = NULL;
    const size_t rows = numbers[0], columns = rows ? count / rows : 0;
    if (!columns || count % rows || columns > UINT32_MAX) what = "rows that do not divide the integers";
    else if (numbers[1] >> 8 * item) what = "a zero out of range";
    else if (numbers[2] > columns || numbers[3] > columns) what = "a distance longer than a row";
    else if (stated == 4 && !numbers[2] && !numbers[3]) what = "distances that are none";
    if (what) return (void)cm_fail(fault, CM_CORRUPT, 1, what), (size_t)0;
    *matrix = (cm_context){columns, numbers[1], numbers[2], numbers[3], src[0] & FLAG_TRELLIS};
    return at;
}

size_t cm_context_columns(const uint8_t *src, size_t size, unsigned item, size_t count) {
    cm_context matrix;
    cm_fault fault;
    return count && read_head(src, size, item, count, &matrix, &fault) ? matrix.columns : 0;
}

cm_status cm_context_decode(const uint8_t *src, size_t size, void *ints, unsigned item, size_t count,
                            cm_fault *fault) {
    if (!count) return size ? cm_fail(fault, CM_CORRUPT, 0, "bytes after its end") : CM_OK;
    cm_context matrix;
    size_t start = read_head(src, size, item, count, &matrix, fault);
    if (!start) return CM_CORRUPT;
    model *m = new_model(matrix.columns);
    if (!m) return cm_fail(fault, CM_MEMORY, 0, "no memory");
    const char *what = NULL;
    if (!begin_decoding(&m->c, src, size, start)) what = "the code begins beyond the range";
    for (size_t row = 0; row < count / matrix.columns && !what && !is_over(&m->c); row++) {
        uint8_t *at = (uint8_t *)ints + row * matrix.columns * item;
        what = item == 1 ? decode_row8(m, &matrix, row, at) : decode_row16(m, &matrix, row, at);
    }
    cm_status status = CM_OK;
    if (is_over(&m->c)) status = cm_fail(fault, CM_TRUNCATED, size, "ends before its last integer");
    else if (what) status = cm_fail(fault, CM_CORRUPT, m->c.at - 4, what);
    else if (m->c.at - 3 < size)
        status = cm_fail(fault, CM_CORRUPT, m->c.at - 3, "bytes after its end");
    free_model(m);
    return status;
}
