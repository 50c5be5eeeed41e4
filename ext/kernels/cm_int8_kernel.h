/* Products of 8-bit integers, for one level; see cm_int8.h. W: a vector of LANES words. */

/* Adding it to a float of small magnitude rounds to the nearest integer, ties to even. */
#define ROUNDING 12582912.0f
#define ROUNDING_BITS 0x4B400000

#if CM_LEVEL == 512
typedef __m512i W;
INLINE TARGET W words(const void *p) { return _mm512_loadu_si512(p); }
INLINE TARGET void put_words(void *p, W w) { _mm512_storeu_si512(p, w); }
INLINE TARGET W fill_word(int32_t x) { return _mm512_set1_epi32(x); }
INLINE TARGET W plus(W a, W b) { return _mm512_add_epi32(a, b); }
INLINE TARGET W minus(W a, W b) { return _mm512_sub_epi32(a, b); }
INLINE TARGET W join(W a, W b) { return _mm512_or_si512(a, b); }
INLINE TARGET W left8(W a) { return _mm512_slli_epi32(a, 8); }
INLINE TARGET W bits_of(V a) { return _mm512_castps_si512(a); }
INLINE TARGET V floats_of(W a) { return _mm512_cvtepi32_ps(a); }
INLINE TARGET V smaller(V a, V b) { return _mm512_min_ps(a, b); }
/* Pairs of products of unsigned x and signed w, in 16 bits. */
INLINE TARGET W pairs(W x, W w) { return _mm512_maddubs_epi16(x, w); }
INLINE TARGET W plus16(W a, W b) { return _mm512_add_epi16(a, b); }
INLINE TARGET W widened(W a) { return _mm512_madd_epi16(a, _mm512_set1_epi16(1)); }
INLINE TARGET int32_t total_word(W a) { return _mm512_reduce_add_epi32(a); }
#elif CM_LEVEL == 2
typedef __m256i W;
INLINE TARGET W words(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE TARGET void put_words(void *p, W w) { _mm256_storeu_si256((__m256i *)p, w); }
INLINE TARGET W fill_word(int32_t x) { return _mm256_set1_epi32(x); }
INLINE TARGET W plus(W a, W b) { return _mm256_add_epi32(a, b); }
INLINE TARGET W minus(W a, W b) { return _mm256_sub_epi32(a, b); }
INLINE TARGET W join(W a, W b) { return _mm256_or_si256(a, b); }
INLINE TARGET W left8(W a) { return _mm256_slli_epi32(a, 8); }
INLINE TARGET W bits_of(V a) { return _mm256_castps_si256(a); }
INLINE TARGET V floats_of(W a) { return _mm256_cvtepi32_ps(a); }
INLINE TARGET V smaller(V a, V b) { return _mm256_min_ps(a, b); }
INLINE TARGET W pairs(W x, W w) { return _mm256_maddubs_epi16(x, w); }
INLINE TARGET W plus16(W a, W b) { return _mm256_add_epi16(a, b); }
INLINE TARGET W widened(W a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
INLINE TARGET int32_t total_word(W a) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1)));
}
#else
typedef VI W;
INLINE W words(const void *p) {
    W w;
    memcpy(&w, p, sizeof w);
    return w;
}
INLINE void put_words(void *p, W w) { memcpy(p, &w, sizeof w); }
INLINE W fill_word(int32_t x) { return (W){x, x, x, x}; }
INLINE W plus(W a, W b) { return a + b; }
INLINE W minus(W a, W b) { return a - b; }
INLINE W join(W a, W b) { return a | b; }
INLINE W left8(W a) {
    typedef uint32_t U __attribute__((vector_size(16)));
    return (W)((U)a << 8);
}
INLINE W bits_of(V a) { return (W)a; }
INLINE V floats_of(W a) { return (V){(float)a[0], (float)a[1], (float)a[2], (float)a[3]}; }
INLINE V smaller(V a, V b) { return choose(a < b, a, b); }
INLINE int32_t total_word(W a) { return a[0] + a[1] + a[2] + a[3]; }
#endif

#if CM_LEVEL
/* sum + the four products of each word. */
INLINE TARGET W dot4(W sum, W x, W w) { return plus(sum, widened(pairs(x, w))); }
#else
INLINE W dot4(W sum, W x, W w) {
    uint8_t bytes[16];
    int8_t weights[16];
    memcpy(bytes, &x, 16);
    memcpy(weights, &w, 16);
    for (int i = 0; i < 16; i++) sum[i / 4] += (int32_t)bytes[i] * weights[i];
    return sum;
}
#endif

INLINE TARGET W fill_quad(const int8_t *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return fill_word(quad);
}

/* Sums of a tile on their way: [row][column]. */
typedef int32_t NAME(int8_sums)[TILE_ROWS][TILE_COLUMNS];

#if CM_LEVEL
/* sums += the products of `count` steps of columns with as many quads of a row, none of whose sums
 * of pairs leaves 16 bits. */
INLINE TARGET void add_quads(const unsigned count, const unsigned vectors, const int8_t *a,
                             const uint32_t *b, W *sums) {
    W part[2];
    UNROLL for (unsigned q = 0; q < count; q++) {
        W w = fill_quad(a + 4 * q);
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            W products = pairs(words(b + q * TILE_COLUMNS + v * LANES), w);
            part[v] = q ? plus16(part[v], products) : products;
        }
    }
    UNROLL for (unsigned v = 0; v < vectors; v++) sums[v] = plus(sums[v], widened(part[v]));
}

/* Rows of a panel that are multiplied at a time. */
#define INT8_ROWS 7

/* Some rows of a panel of `all`, from `first` on. */
INLINE TARGET void int8_sums_of(const unsigned rows, const unsigned vectors, const int deep,
                                unsigned first, unsigned all, size_t steps, const int8_t *a,
                                const uint32_t *b, NAME(int8_sums) sums) {
    W sum[INT8_ROWS][2];
    UNROLL for (unsigned r = 0; r < rows; r++)
        UNROLL for (unsigned v = 0; v < vectors; v++) sum[r][v] = fill_word(0);
    a += 16 * (size_t)first;
    for (; steps >= 4; steps -= 4, a += 16 * (size_t)all, b += 4 * TILE_COLUMNS)
        UNROLL for (unsigned r = 0; r < rows; r++) {
            if (deep) {
                add_quads(4, vectors, a + 16 * r, b, sum[r]);
            } else {
                add_quads(2, vectors, a + 16 * r, b, sum[r]);
                add_quads(2, vectors, a + 16 * r + 8, b + 2 * TILE_COLUMNS, sum[r]);
            }
        }
    a -= 8 * (size_t)first;
    if (steps)
        UNROLL for (unsigned r = 0; r < rows; r++) add_quads(2, vectors, a + 8 * r, b, sum[r]);
    UNROLL for (unsigned r = 0; r < rows; r++)
        UNROLL for (unsigned v = 0; v < vectors; v++) put_words(sums[first + r] + v * LANES, sum[r][v]);
}

#define INT8_CASE(r)                                                               \
    case r:                                                                        \
        if (vectors == 1) int8_sums_of(r, 1, 0, first, rows, steps, a, b, sums);   \
        else if (deep) int8_sums_of(r, 2, 1, first, rows, steps, a, b, sums);      \
        else int8_sums_of(r, 2, 0, first, rows, steps, a, b, sums);                \
        break;

TARGET static void NAME(int8_multiply)(unsigned rows, unsigned vectors, int deep, size_t steps,
                                       const int8_t *a, const uint32_t *b, NAME(int8_sums) sums) {
    unsigned parts = rows > INT8_ROWS ? 2 : 1, share = (rows + parts - 1) / parts;
    for (unsigned first = 0; first < rows; first += share)
        switch (rows - first < share ? rows - first : share) {
            INT8_CASE(1)
            INT8_CASE(2)
            INT8_CASE(3)
            INT8_CASE(4)
            INT8_CASE(5)
            INT8_CASE(6)
#if TILE_ROWS > 6
            INT8_CASE(7)
#endif
        }
}
#else
static void NAME(int8_multiply)(unsigned rows, unsigned vectors, int deep, size_t steps,
                                const int8_t *a, const uint32_t *b, NAME(int8_sums) sums) {
    (void)deep;
    memset(sums, 0, sizeof(NAME(int8_sums)));
    for (; steps; b += 4 * TILE_COLUMNS) {
        size_t count = steps < 4 ? steps : 4;
        for (unsigned r = 0; r < rows; r++, a += 4 * count)
            for (size_t q = 0; q < count; q++)
                for (unsigned v = 0; v < vectors; v++) {
                    int32_t *sum = sums[r] + v * LANES;
                    put_words(sum, dot4(words(sum), words(b + q * TILE_COLUMNS + v * LANES),
                                        fill_quad(a + 4 * q)));
                }
        steps -= count;
    }
}
#endif

/* The last step of a tile; scale and bias are there. What is missing is known before the loops. */
INLINE TARGET void finish_words(unsigned rows, const unsigned vectors, const int residual,
                                const int rectify, NAME(int8_sums) sums, float *c, ptrdiff_t step,
                                const cm_int8_finish *finish) {
    const cm_finish *f = &finish->then;
    for (unsigned r = 0; r < rows; r++, c += step) {
        V scale = fill(f->scale[r]), bias = fill(f->bias[r]);
        W offset = fill_word(finish->offsets[r]);
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            V x = floats_of(plus(words(sums[r] + v * LANES), offset));
            x = add(mul(x, scale), bias);
            if (residual) x = add(x, load(f->residual + (ptrdiff_t)r * step + v * LANES));
            if (rectify == 1) x = larger(fill(0), x);
            if (rectify == 2) x = if_negative(x, mul(x, fill(f->slope)));
            store(c + v * LANES, x);
        }
    }
}

#define INT8_FINISH(number, residual, rectify)                                             \
    case number:                                                                           \
        if (vectors == 2) finish_words(rows, 2, residual, rectify, sums, c, step, finish); \
        else finish_words(rows, 1, residual, rectify, sums, c, step, finish);              \
        break;

TARGET static void NAME(int8_tile)(unsigned rows, unsigned vectors, size_t steps, const int8_t *a,
                                   const uint32_t *b, float *c, ptrdiff_t step, int accumulate,
                                   const cm_int8_extras *extras, const cm_int8_finish *finish) {
    NAME(int8_sums) sums;
    NAME(int8_multiply)(rows, vectors, extras->deep, steps, a, b, sums);
    for (size_t i = 0; i < extras->count; i++) {
        const cm_int8_extra *extra = extras->list + i;
        const uint32_t *from = b + ((size_t)extra->step - extras->begin) * TILE_COLUMNS;
        W w = fill_quad(extra->weights);
        for (unsigned v = 0; v < vectors; v++) {
            int32_t *sum = sums[extra->row] + v * LANES;
            put_words(sum, dot4(words(sum), words(from + v * LANES), w));
        }
    }
    if (accumulate)
        for (unsigned r = 0; r < rows; r++)
            for (unsigned v = 0; v < vectors; v++) {
                int32_t *sum = sums[r] + v * LANES;
                put_words(sum, plus(words(sum), words(c + (ptrdiff_t)r * step + v * LANES)));
            }
    if (!finish) {
        for (unsigned r = 0; r < rows; r++)
            memcpy(c + (ptrdiff_t)r * step, sums[r], vectors * LANES * sizeof *c);
        return;
    }
    int rectify = !finish->then.rectify ? 0 : finish->then.slope == 0 ? 1 : 2;
    switch (rectify * 2 + (finish->then.residual != NULL)) {
        INT8_FINISH(0, 0, 0)
        INT8_FINISH(1, 1, 0)
        INT8_FINISH(2, 0, 1)
        INT8_FINISH(3, 1, 1)
        INT8_FINISH(4, 0, 2)
        INT8_FINISH(5, 1, 2)
    }
}

INLINE TARGET W quantised(V x, const cm_int8_grid *grid) {
    V low = fill((float)-grid->zero), high = fill((float)(CM_INT8_LEVELS - grid->zero));
    /* A NaN becomes the lowest. */
    x = smaller(larger(mul(x, fill(grid->inverse)), low), high);
    return minus(bits_of(add(x, fill(ROUNDING))), fill_word(ROUNDING_BITS - grid->zero));
}

INLINE TARGET void quantise_of(const unsigned channels, const float *x, size_t step, size_t count,
                               const cm_int8_grid *grid, uint32_t *out) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        W word = fill_word(0);
        UNROLL for (unsigned c = channels; c-- > 0;)
            word = join(left8(word), quantised(load(x + c * step + i), grid));
        put_words(out + i, word);
    }
    if (i < count) {
        int32_t mask[16] = {0};
        uint32_t rest[LANES];
        W word = fill_word(0);
        for (size_t j = 0; j < count - i; j++) mask[j] = -1;
        UNROLL for (unsigned c = channels; c-- > 0;)
            word = join(left8(word), quantised(load_some(x + c * step + i, mask), grid));
        put_words(rest, word);
        memcpy(out + i, rest, (count - i) * sizeof *out);
    }
}

TARGET static void NAME(quantise)(unsigned channels, const float *x, size_t step, size_t count,
                                  const cm_int8_grid *grid, uint32_t *out) {
    switch (channels) {
        case 1: quantise_of(1, x, step, count, grid, out); break;
        case 2: quantise_of(2, x, step, count, grid, out); break;
        case 3: quantise_of(3, x, step, count, grid, out); break;
        case 4: quantise_of(4, x, step, count, grid, out); break;
    }
}

/* Bytes between what is multiplied and what is fetched: the weights come from the memory. */
#define INT8_AHEAD 1024

INLINE TARGET void int8_dot_of(const unsigned outputs, const unsigned rows, size_t bytes,
                               const int8_t *weights, const uint8_t *x, int32_t *sums) {
    W sum[4][2];
    UNROLL for (unsigned o = 0; o < outputs; o++)
        UNROLL for (unsigned r = 0; r < rows; r++) sum[o][r] = fill_word(0);
    for (size_t i = 0; i < bytes; i += 4 * LANES) {
        W values[2];
        UNROLL for (unsigned r = 0; r < rows; r++) values[r] = words(x + r * bytes + i);
        UNROLL for (unsigned o = 0; o < outputs; o++) {
            const int8_t *row = weights + o * bytes + i;
            W w = words(row);
            __builtin_prefetch(row + INT8_AHEAD);
            UNROLL for (unsigned r = 0; r < rows; r++) sum[o][r] = dot4(sum[o][r], values[r], w);
        }
    }
    UNROLL for (unsigned o = 0; o < outputs; o++)
        UNROLL for (unsigned r = 0; r < rows; r++) sums[o * 2 + r] = total_word(sum[o][r]);
}

#define INT8_DOT_CASE(o, r) \
    case o * 4 + r: int8_dot_of(o, r, bytes, weights, x, sums); break;

/* sums[o * 2 + r] for up to 4 outputs and 2 rows. */
TARGET static void NAME(int8_dot)(unsigned outputs, unsigned rows, size_t bytes,
                                  const int8_t *weights, const uint8_t *x, int32_t *sums) {
    switch (outputs * 4 + rows) {
        INT8_DOT_CASE(1, 1) INT8_DOT_CASE(2, 1) INT8_DOT_CASE(3, 1) INT8_DOT_CASE(4, 1)
        INT8_DOT_CASE(1, 2) INT8_DOT_CASE(2, 2) INT8_DOT_CASE(3, 2) INT8_DOT_CASE(4, 2)
    }
}
