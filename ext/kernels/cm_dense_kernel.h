/* Products of rows of weights, as they lie in memory, with inputs; for one level. */

/* Floats between what is multiplied and what is fetched: the weights come from the memory. */
#define DENSE_AHEAD 512

INLINE TARGET void dot_of(const unsigned outputs, const unsigned rows, size_t k,
                          const float *weights, const float *x, size_t inner, float *sums) {
    V sum[4][3];
    UNROLL for (unsigned o = 0; o < outputs; o++)
        UNROLL for (unsigned r = 0; r < rows; r++) sum[o][r] = fill(0);
    size_t i = 0;
    for (; i + LANES <= k; i += LANES) {
        V values[3];
        UNROLL for (unsigned r = 0; r < rows; r++) values[r] = load(x + r * inner + i);
        UNROLL for (unsigned o = 0; o < outputs; o++) {
            const float *row = weights + o * inner + i;
            V weight = load(row);
            if (rows == 1) __builtin_prefetch(row + DENSE_AHEAD);
            UNROLL for (unsigned r = 0; r < rows; r++)
                sum[o][r] = fma_(weight, values[r], sum[o][r]);
        }
    }
    if (i < k) {
        int32_t mask[16] = {0};
        for (size_t j = 0; j < k - i; j++) mask[j] = -1;
        UNROLL for (unsigned o = 0; o < outputs; o++) {
            V weight = load_some(weights + o * inner + i, mask);
            UNROLL for (unsigned r = 0; r < rows; r++)
                sum[o][r] = fma_(weight, load_some(x + r * inner + i, mask), sum[o][r]);
        }
    }
    UNROLL for (unsigned o = 0; o < outputs; o++)
        UNROLL for (unsigned r = 0; r < rows; r++) sums[o * 3 + r] = total(sum[o][r]);
}

#define DOT_CASE(o, r) \
    case o * 4 + r: dot_of(o, r, k, weights, x, inner, sums); break;

/* sums[o * 3 + r] for up to 4 outputs and 3 rows. */
TARGET static void NAME(dot)(unsigned outputs, unsigned rows, size_t k, const float *weights,
                             const float *x, size_t inner, float *sums) {
    switch (outputs * 4 + rows) {
        DOT_CASE(1, 1) DOT_CASE(2, 1) DOT_CASE(3, 1) DOT_CASE(4, 1)
        DOT_CASE(1, 2) DOT_CASE(2, 2) DOT_CASE(3, 2) DOT_CASE(4, 2)
        DOT_CASE(1, 3) DOT_CASE(2, 3) DOT_CASE(3, 3) DOT_CASE(4, 3)
    }
}

INLINE TARGET void rows_of(const unsigned outputs, const unsigned vectors, size_t k,
                           const float *weights, size_t inner, const float *columns, float *sums,
                           int accumulate) {
    V sum[6][2];
    UNROLL for (unsigned o = 0; o < outputs; o++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[o][v] = fill(0);
    for (size_t i = 0; i < k; i++, weights++, columns += TILE_COLUMNS) {
        V column[2];
        /* A line of each row in turn. */
        __builtin_prefetch(weights + i % 8 % outputs * inner + DENSE_AHEAD);
        UNROLL for (unsigned v = 0; v < vectors; v++) column[v] = load(columns + v * LANES);
        UNROLL for (unsigned o = 0; o < outputs; o++) {
            V weight = fill(weights[o * inner]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[o][v] = fma_(weight, column[v], sum[o][v]);
        }
    }
    UNROLL for (unsigned o = 0; o < outputs; o++)
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            float *target = sums + o * TILE_COLUMNS + v * LANES;
            store(target, accumulate ? add(load(target), sum[o][v]) : sum[o][v]);
        }
}

#define ROWS_CASE(o)                                                                      \
    case o:                                                                               \
        if (vectors == 2) rows_of(o, 2, k, weights, inner, columns, sums, accumulate);    \
        else rows_of(o, 1, k, weights, inner, columns, sums, accumulate);                 \
        break;

TARGET static void NAME(rows)(unsigned outputs, unsigned vectors, size_t k, const float *weights,
                              size_t inner, const float *columns, float *sums, int accumulate) {
    switch (outputs) {
        ROWS_CASE(1)
        ROWS_CASE(2)
        ROWS_CASE(3)
        ROWS_CASE(4)
        ROWS_CASE(5)
        ROWS_CASE(6)
    }
}
