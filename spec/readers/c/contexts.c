/* Chapter 10: context streams. */
#include "internal.h"

#include <stdlib.h>

enum {
    INPUTS = 6,          /* counters that are mixed for one decision */
    STEPS = 14,          /* decisions of an integer: seven of each quantizer */
    MAGNITUDES = 7,      /* from here on an Exp-Golomb code follows */
    SIGN_WEIGHTS = 14,   /* the set of weights of the signs */
    LONGEST_ESCAPE = 15, /* of an Exp-Golomb code */
    MOST_WEIGHT = 131071,
};

enum { OF_TRELLIS = 1, WITH_DISTANCES = 2 };

typedef struct {
    int32_t p; /* probability of a 1, in 1/65536 */
    int32_t n;
} counter;

struct context_decoder {
    const context *c;
    range_decoder range;
    uint64_t columns, row, column; /* of the integer that comes next */
    uint64_t left;                 /* integers to come */
    uint64_t kernel, period, cycle; /* V, P, L */
    int32_t zero, largest;
    bool trellis;
    unsigned state;
    int32_t mean;
    int32_t *means;                        /* of the columns; the memory is these and the three rows' */
    int32_t *levels, *above, *above2;      /* levels of this row and of the two before */
    int32_t rate[256];
    int32_t stretched[4096];
    int32_t weights[SIGN_WEIGHTS + 1][INPUTS];
    counter steps0[STEPS], steps1[32][STEPS], steps2[64][STEPS], steps3[64][STEPS], steps4[96][STEPS],
        steps5[256][STEPS];
    counter sign0, sign1[9], sign2[9], sign3[81], sign4[81], sign5[81];
    counter lengths[LONGEST_ESCAPE], digits[LONGEST_ESCAPE]; /* E, H */
};

/* ---- 10.1 Counters and mixing ---- */

static int32_t floored(int32_t value, unsigned count) {
    return (int32_t)shift_down(value, count);
}

static void learn(const context_decoder *d, counter *k, unsigned bit) {
    k->p += floored(((int32_t)bit * 65535 - k->p) * d->rate[k->n], 14);
    k->n += k->n < 255;
}

static unsigned mixed(context_decoder *d, int32_t weights[INPUTS], counter *const k[INPUTS]) {
    int32_t x[INPUTS], sum = 0;
    for (int i = 1; i < INPUTS; i++)
        if (k[i]->n == 0) {
            k[i]->p = k[0]->p;
            k[i]->n = 1;
        }
    for (int i = 0; i < INPUTS; i++) {
        x[i] = d->stretched[k[i]->p >> 4];
        sum += weights[i] * x[i];
    }
    uint32_t q = squash(floored(sum, 15));
    unsigned bit = range_bit(&d->range, q);
    int32_t error = (int32_t)(bit << 16) - (int32_t)q;
    for (int i = 0; i < INPUTS; i++) {
        int32_t weight = weights[i] + floored(x[i] * error + 8192, 14);
        weights[i] = weight < -MOST_WEIGHT ? -MOST_WEIGHT : weight > MOST_WEIGHT ? MOST_WEIGHT : weight;
        learn(d, k[i], bit);
    }
    return bit;
}

static unsigned plain(context_decoder *d, counter *k) {
    int32_t q = k->p < 32 ? 32 : k->p > 65504 ? 65504 : k->p;
    unsigned bit = range_bit(&d->range, (uint32_t)q);
    learn(d, k, bit);
    return bit;
}

static void start_model(context_decoder *d) {
    for (int n = 0; n < 256; n++)
        d->rate[n] = 32768 / (2 * n + 3);
    for (int i = 0; i < 4096; i++)
        d->stretched[i] = (int32_t)shift_down(lg((uint64_t)(2 * i + 1)) - lg((uint64_t)(8191 - 2 * i)), 1);
    for (int set = 0; set <= SIGN_WEIGHTS; set++)
        for (int i = 0; i < INPUTS; i++)
            d->weights[set][i] = 13000;
    for (int i = 0; i < STEPS; i++)
        d->steps0[i].p = i % 7 == 0 ? 32768 : 20000;
    d->sign0.p = 32768;
    for (int i = 0; i < LONGEST_ESCAPE; i++)
        d->lengths[i].p = d->digits[i].p = 32768;
}

/* ---- 10.2 The integers ---- */

static uint32_t bucket(uint32_t v) {
    unsigned e = 0;
    if (v < 4)
        return v;
    while (v >> e > 1)
        e++;
    return 2 * e + (v >> (e - 1) & 1);
}

static int32_t magnitude(int32_t x) {
    return x < 0 ? -x : x;
}

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int third(int32_t x) {
    return x > 0 ? 2 : x < 0;
}

static int32_t clip(int32_t x, int32_t most) {
    return x < -most ? -most : x > most ? most : x;
}

/* Levels about the one that comes next. */
typedef struct {
    int32_t l, l2, u, u2, v, v2, vl, vr, c;
} neighbours;

/* The level `distance` columns before; 0 where there is none. */
static int32_t before(const context_decoder *d, uint64_t distance) {
    return distance > 0 && distance <= d->column ? d->levels[d->column - distance] : 0;
}

static neighbours look_around(const context_decoder *d) {
    neighbours near = {0};
    near.l = before(d, 1);
    near.l2 = before(d, 2);
    near.u = d->above[d->column];
    near.u2 = d->above2[d->column];
    if (d->kernel > 0) {
        near.v = before(d, d->kernel);
        near.v2 = before(d, 2 * d->kernel);
        near.vl = before(d, d->kernel + 1);
        near.vr = before(d, d->kernel - 1);
    }
    near.c = before(d, d->period);
    return near;
}

static bool take_sign(context_decoder *d, const neighbours *near) {
    int l = third(near->l), u = third(near->u), v = third(near->v), c = third(near->c);
    counter *const k[INPUTS] = {
        &d->sign0,
        &d->sign1[l + 3 * v],
        &d->sign2[u + 3 * c],
        &d->sign3[l + 3 * u + 9 * v + 27 * c],
        &d->sign4[third(near->l2) + 3 * third(near->u2) + 9 * l + 27 * u],
        &d->sign5[v + 3 * third(near->vl) + 9 * third(near->vr) + 27 * third(near->v2)],
    };
    return mixed(d, d->weights[SIGN_WEIGHTS], k);
}

static int32_t take_rest(context_decoder *d) {
    int e = 0;
    int32_t rest = 1;
    while (e < LONGEST_ESCAPE && plain(d, &d->lengths[e]))
        e++;
    while (e-- > 0)
        rest = 2 * rest + (int32_t)plain(d, &d->digits[e]);
    return rest;
}

/* How far the next integer is from the one that stands for zero. */
static int32_t take_distance(context_decoder *d) {
    const neighbours near = look_around(d);
    int32_t l = magnitude(near.l), u = magnitude(near.u), v = magnitude(near.v), mean = d->means[d->column];
    int step = 7 * (int)(d->state & 1);
    counter *k[INPUTS] = {
        d->steps0,
        d->steps1[bucket((uint32_t)mean >> 2)],
        d->steps2[least(l, 3) + 4 * least(v, 3) + 16 * least(u, 3)],
        d->steps3[least((int32_t)bucket((uint32_t)(2 * l + 2 * v + u + magnitude(near.c))), 31)],
        d->steps4[d->column % d->cycle % 64],
        d->steps5[16 * least((int32_t)bucket((uint32_t)mean >> 3), 15) +
                  least((int32_t)bucket((uint32_t)d->mean >> 3), 15)],
    };
    for (int i = 0; i < INPUTS; i++)
        k[i] += step;
    if (!mixed(d, d->weights[step], k))
        return 0;
    int32_t sign = take_sign(d, &near) ? -1 : 1, a = 1;
    k[3] = d->steps3[47 + clip(sign * (2 * near.l + 2 * near.v + near.u + near.c), 15)] + step;
    k[4] = d->steps4[76 + 5 * clip(sign * near.l, 2) + clip(sign * near.v, 2)] + step;
    for (;; a++) {
        for (int i = 0; i < INPUTS; i++)
            k[i]++;
        if (a == MAGNITUDES || !mixed(d, d->weights[step + a], k))
            break;
    }
    return sign * (a == MAGNITUDES ? take_rest(d) + MAGNITUDES - 1 : a);
}

/* Move on after an integer. */
static void pass(context_decoder *d, int32_t k) {
    int32_t level = k, *mean = &d->means[d->column];
    if (d->trellis) {
        level = trellis_level(d->state, k);
        d->state = trellis_next(d->state, k % 2 != 0);
    }
    d->levels[d->column] = level;
    int32_t y = 256 * least(magnitude(level), 255);
    d->mean += floored((y - d->mean) * d->rate[d->column < 61 ? d->column + 1 : 62], 14);
    *mean += floored((y - *mean) * d->rate[d->row < 29 ? d->row + 1 : 30], 14);
    d->left--;
    if (++d->column < d->columns)
        return;
    int32_t *oldest = d->above2;
    d->above2 = d->above;
    d->above = d->levels;
    d->levels = oldest;
    d->column = 0;
    d->row++;
    d->mean = 0;
    d->state = 0;
}

cmodel_status contexts_next(context_decoder *d, uint16_t *output, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int32_t k = take_distance(d);
        if (d->range.over)
            return fail(d->c, CMODEL_BAD_STREAM, "context stream: it ends before its integers");
        if (k < -d->zero || k > d->largest - d->zero)
            return fail(d->c, CMODEL_BAD_STREAM, "context stream: an integer that is out of range");
        output[i] = (uint16_t)(d->zero + k);
        pass(d, k);
    }
    if (d->left == 0 && !range_at_end(&d->range))
        return fail(d->c, CMODEL_BAD_STREAM, "context stream: bytes follow its end");
    return CMODEL_OK;
}

/* ---- The head ---- */

static cmodel_status read_head(context_decoder *d, bytes *stream, uint64_t count, unsigned bits) {
    uint8_t flags;
    uint64_t rows, zero;
    d->largest = bits == 8 ? 255 : 65535;
    if (!take_u8(stream, &flags) || flags > (OF_TRELLIS | WITH_DISTANCES))
        return fail(d->c, CMODEL_BAD_STREAM, "context stream: its flags");
    if (!take_shortest(stream, UINT32_MAX, &rows) || rows == 0 || count % rows != 0 || count / rows > UINT32_MAX)
        return fail(d->c, CMODEL_BAD_STREAM, "context stream: its number of rows");
    if (!take_shortest(stream, (uint64_t)d->largest, &zero))
        return fail(d->c, CMODEL_BAD_STREAM, "context stream: the integer that stands for zero");
    d->left = count;
    d->columns = count / rows;
    d->zero = (int32_t)zero;
    d->trellis = flags & OF_TRELLIS;
    if (flags & WITH_DISTANCES &&
        (!take_shortest(stream, d->columns, &d->kernel) || !take_shortest(stream, d->columns, &d->period) ||
         (d->kernel == 0 && d->period == 0)))
        return fail(d->c, CMODEL_BAD_STREAM, "context stream: its distances");
    d->cycle = d->period > 0 ? d->period : d->kernel > 0 ? d->kernel : 1;
    return CMODEL_OK;
}

static cmodel_status start(context_decoder *d, bytes stream, uint64_t count, unsigned bits) {
    TRY(read_head(d, &stream, count, bits));
    if (!range_start(&d->range, stream))
        return fail(d->c, CMODEL_BAD_STREAM, "context stream: its code begins beyond the range");
    if (4 * sizeof *d->means * d->columns > d->c->max_memory)
        return fail(d->c, CMODEL_LIMIT_MEMORY, "context stream: its columns take more memory than is allowed");
    d->means = allocate(d->c, d->columns, 4 * sizeof *d->means);
    if (d->means == NULL)
        return CMODEL_LIMIT_MEMORY;
    d->levels = d->means + d->columns;
    d->above = d->levels + d->columns;
    d->above2 = d->above + d->columns;
    start_model(d);
    return CMODEL_OK;
}

cmodel_status contexts_open(const context *c, bytes stream, uint64_t count, unsigned bits,
                            context_decoder **opened) {
    context_decoder *d = *opened = allocate(c, 1, sizeof *d);
    if (d == NULL)
        return CMODEL_LIMIT_MEMORY;
    d->c = c;
    return start(d, stream, count, bits); /* what is opened is closed, whatever the status */
}

void contexts_close(context_decoder *decoder) {
    if (decoder != NULL)
        free(decoder->means);
    free(decoder);
}
