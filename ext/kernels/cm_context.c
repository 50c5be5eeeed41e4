#include "cm_context.h"

#include <stdlib.h>
#include <string.h>

#include "cm_bytes.h"
#include "cm_range.h"
#include "cm_simd.h"

enum { INPUTS = 6, UNARY = 7, DECISIONS = 2 * UNARY, SIGN = DECISIONS, SETS = DECISIONS + 1 };
enum { MAX_COUNT = 255, ROW_COUNT = 62, COLUMN_COUNT = 30 };
enum { WEIGHT = 13000, WEIGHT_LIMIT = (1 << 17) - 1 };
enum { HALF = 32768, MORE = 20000, ESCAPES = 15, LOGIT_LIMIT = 4095 };
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

/* Six numbers, and two that stay zero. */
typedef int32_t four __attribute__((vector_size(16)));
typedef float four_floats __attribute__((vector_size(16)));
typedef struct {
    four low, high;
} lanes;

/* Of p >> 4, and of logits from -4095 to 4095. */
static int16_t stretched[4096];
static uint16_t squashed[2 * LOGIT_LIMIT + 1];

typedef struct cm_context_model {
    coder c;
    lanes weights[SETS];
    counter magnitudes[CONTEXTS][DECISIONS], signs[SIGNS];
    counter exponents[ESCAPES], mantissas[ESCAPES];
    int32_t *rows[3]; /* this row and the two before; all zero before the first */
    int32_t *means;   /* of the magnitudes in each column, in 1/256 */
} model;

void cm_context_prepare(void) {
    for (int i = 0; i < 4096; i++)
        stretched[i] =
            (int16_t)((log_of(2 * (uint32_t)i + 1) - log_of(8191 - 2 * (uint32_t)i)) >> 1);
    for (int i = -LOGIT_LIMIT; i <= LOGIT_LIMIT; i++)
        squashed[i + LOGIT_LIMIT] = (uint16_t)squash(i);
}

INLINE int32_t rate_of(int32_t n) { return 32768 / (2 * n + 3); }

INLINE int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

INLINE int32_t clamp(int32_t x, int32_t limit) { return x < -limit ? -limit : x > limit ? limit : x; }

INLINE int32_t magnitude(int32_t x) { return x < 0 ? -x : x; }

/* Two steps an octave. */
INLINE int32_t bucket(int32_t v) {
    if (v < 4) return v;
    int e = 31 - __builtin_clz((unsigned)v);
    return 2 * e + (v >> (e - 1) & 1);
}

/* Of counters read as words of 32 bits. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define P_OF(both) ((both) & 65535)
#define N_OF(both) ((both) >> 16)
#define BOTH(p, n) ((p) | (n) << 16)
#else
#define P_OF(both) ((both) >> 16 & 65535)
#define N_OF(both) ((both) & 65535)
#define BOTH(p, n) ((p) << 16 | (n))
#endif

#if defined(__clang__)
#define SHUFFLED(v, a, b, c, d) __builtin_shufflevector(v, v, a, b, c, d)
#else
#define SHUFFLED(v, a, b, c, d) __builtin_shuffle(v, (four){a, b, c, d})
#endif

INLINE four held(four x, int32_t limit) {
    four over = x > limit, under = x < -limit;
    return (x & ~(over | under)) | (over & limit) | (under & -limit);
}

INLINE void learn_four(four *weights, four x, four both, int32_t error, int bit,
                       counter *const *inputs, int count) {
    four p = P_OF(both), n = N_OF(both);
    *weights = held(*weights + ((x * error + 8192) >> 14), WEIGHT_LIMIT);
    /* 32768 / (2 n + 3) is never whole, and farther from a whole number than it is rounded. */
    four rate = __builtin_convertvector(
        32768.0f / __builtin_convertvector(2 * n + 3, four_floats), four);
    p += (((bit ? 65535 : 0) - p) * rate) >> 14;
    n -= n < MAX_COUNT; /* a true comparison is -1 */
    both = BOTH(p, n);
    for (int i = 0; i < count; i++) {
        const int32_t one = both[i];
        memcpy(inputs[i], &one, sizeof one);
    }
}

/* Codes a bit by the mixed predictions of six counters. */
INLINE int mixed_bit(model *m, lanes *weights, counter *const *k, int bit, int encoding) {
    for (int i = 1; i < INPUTS; i++)
        if (__builtin_expect(!k[i]->n, 0)) *k[i] = (counter){k[0]->p, 1};
    int32_t both[INPUTS], x[INPUTS];
    for (int i = 0; i < INPUTS; i++) {
        memcpy(&both[i], k[i], sizeof both[i]);
        x[i] = stretched[k[i]->p >> 4];
    }
    const four k0 = {both[0], both[1], both[2], both[3]}, k1 = {both[4], both[5], 0, 0};
    const four x0 = {x[0], x[1], x[2], x[3]}, x1 = {x[4], x[5], 0, 0};
    four sum = weights->low * x0 + weights->high * x1;
    sum += SHUFFLED(sum, 2, 3, 0, 1);
    sum += SHUFFLED(sum, 1, 0, 3, 2);
    sum = held(sum >> 15, LOGIT_LIMIT);
    const int32_t logit = sum[0];
    const uint32_t q = squashed[logit + LOGIT_LIMIT];
    /* A branch for each bit: while it is foreseen rightly, what follows waits for q alone. */
    if (code_bit(&m->c, q, bit, encoding)) {
        learn_four(&weights->low, x0, k0, 65536 - (int32_t)q, 1, k, 4);
        learn_four(&weights->high, x1, k1, 65536 - (int32_t)q, 1, k + 4, 2);
        return 1;
    }
    learn_four(&weights->low, x0, k0, -(int32_t)q, 0, k, 4);
    learn_four(&weights->high, x1, k1, -(int32_t)q, 0, k + 4, 2);
    return 0;
}

INLINE int plain_bit(model *m, counter *one, int bit, int encoding) {
    uint32_t q = one->p < 32 ? 32 : one->p > 65504 ? 65504 : one->p;
    bit = code_bit(&m->c, q, bit, encoding);
    one->p = (uint16_t)(one->p + (((bit ? 65535 : 0) - one->p) * rate_of(one->n) >> 14));
    one->n = (uint16_t)least(one->n + 1, MAX_COUNT);
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
    const int32_t column_rate = rate_of(row < COLUMN_COUNT ? (int32_t)row + 1 : COLUMN_COUNT);
    const int32_t top = item == 1 ? 255 : 65535, zero = (int32_t)matrix->zero;
    int32_t mean = 0, row_rates[ROW_COUNT];
    for (int i = 0; i < ROW_COUNT; i++) row_rates[i] = rate_of(i + 1);
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
        if (mixed_bit(m, &m->weights[first], inputs, v != 0, encoding)) {
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
            int negative = mixed_bit(m, &m->weights[SIGN], inputs, v < 0, encoding);
            const int32_t s = negative ? -1 : 1;
            contexts[3] = m->magnitudes + AT3 + 47 + clamp(s * (2 * (l + w) + up[j] + c), 15);
            contexts[4] = m->magnitudes + AT4 + 76 + 5 * clamp(s * l, 2) + clamp(s * w, 2);
            int32_t a = magnitude(v), seen = 1;
            while (seen < UNARY) {
                for (int i = 0; i < INPUTS; i++) inputs[i] = &(*contexts[i])[first + seen];
                if (!mixed_bit(m, &m->weights[first + seen], inputs, a > seen, encoding)) break;
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
        mean += (size - mean) * row_rates[j < ROW_COUNT ? j : ROW_COUNT - 1] >> 14;
        m->means[j] += (size - m->means[j]) * column_rate >> 14;
        if (++place == cycle) place = 0;
    }
    m->rows[0] = m->rows[2];
    m->rows[2] = m->rows[1];
    m->rows[1] = cur;
    return NULL;
}

#define ROWS(LEVEL, TARGET)                                                                      \
    TARGET const char *cm_context_encode_row_##LEVEL(model *m,                 \
                                                     const cm_context *matrix, size_t row,       \
                                                     uint8_t *ints, unsigned item) {             \
        return code_row(m, matrix, row, ints, item, 1);                                 \
    }                                                                                            \
    TARGET const char *cm_context_decode_row_##LEVEL(model *m,                 \
                                                     const cm_context *matrix, size_t row,       \
                                                     uint8_t *ints, unsigned item) {             \
        return item == 1 ? code_row(m, matrix, row, ints, 1, 0)                         \
                         : code_row(m, matrix, row, ints, 2, 0);                        \
    }

ROWS(scalar, )
#if defined(__x86_64__)
ROWS(avx2, __attribute__((target("avx2,bmi,bmi2,lzcnt"))))
#endif

static model *new_model(size_t columns) {
    if (columns > SIZE_MAX / (4 * sizeof(int32_t))) return NULL;
    /* calloc aligns to 16 bytes, as the lanes need. */
    model *m = calloc(1, sizeof *m);
    int32_t *columnwise = m ? calloc(columns, 4 * sizeof *columnwise) : NULL;
    if (!columnwise) {
        free(m);
        return NULL;
    }
    m->means = columnwise;
    for (int i = 0; i < 3; i++) m->rows[i] = columnwise + columns * (size_t)(i + 1);
    const four weight = {WEIGHT, WEIGHT, WEIGHT, WEIGHT};
    for (int i = 0; i < SETS; i++)
        m->weights[i] = (lanes){weight, {WEIGHT, WEIGHT, 0, 0}};
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
        cm_kernel.context_encode_row(m, matrix, row, at + row * matrix->columns * item, item);
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
        what = cm_kernel.context_decode_row(m, &matrix, row, at, item);
    }
    cm_status status = CM_OK;
    if (is_over(&m->c)) status = cm_fail(fault, CM_TRUNCATED, size, "ends before its last integer");
    else if (what) status = cm_fail(fault, CM_CORRUPT, m->c.at - 4, what);
    else if (m->c.at - 3 < size)
        status = cm_fail(fault, CM_CORRUPT, m->c.at - 3, "bytes after its end");
    free_model(m);
    return status;
}
