/* cm_tile for one level; see cm_tile.h. */
#if LANES == 16
#define TILE_ROWS 14
#else
#define TILE_ROWS 6
#endif
#define TILE_COLUMNS (2 * LANES)

INLINE TARGET V finish_vector(V x, const cm_finish *f, unsigned row, ptrdiff_t at) {
    if (f->scale) x = mul(x, fill(f->scale[row]));
    if (f->bias) x = add(x, fill(f->bias[row]));
    if (f->residual) x = add(x, load(f->residual + at));
    if (f->rectify)
        x = f->slope == 0 ? larger(fill(0), x) : if_negative(x, mul(x, fill(f->slope)));
    return x;
}

INLINE TARGET void tile_of(const unsigned rows, const unsigned vectors, size_t k, const float *a,
                           const float *b, float *c, ptrdiff_t step, int accumulate,
                           const cm_finish *finish) {
    V sum[TILE_ROWS][2];
    UNROLL for (unsigned r = 0; r < rows; r++)
        UNROLL for (unsigned v = 0; v < vectors; v++) sum[r][v] = fill(0);
    for (; k; k--, a += rows, b += TILE_COLUMNS) {
        V columns[2];
        UNROLL for (unsigned v = 0; v < vectors; v++) columns[v] = load(b + v * LANES);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            V row = fill(a[r]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[r][v] = fma_(row, columns[v], sum[r][v]);
        }
    }
    /* What nearly all layers have, without a question for each vector. */
    if (finish && !accumulate && finish->bias && !finish->scale && !finish->residual &&
        (!finish->rectify || finish->slope == 0)) {
        V floor = fill(finish->rectify ? 0 : -INFINITY);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            V bias = fill(finish->bias[r]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                store(c + (ptrdiff_t)r * step + (ptrdiff_t)(v * LANES),
                      larger(floor, add(sum[r][v], bias)));
        }
        return;
    }
    UNROLL for (unsigned r = 0; r < rows; r++)
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            ptrdiff_t at = (ptrdiff_t)r * step + (ptrdiff_t)(v * LANES);
            V x = sum[r][v];
            if (accumulate) x = add(x, load(c + at));
            if (finish) x = finish_vector(x, finish, r, at);
            store(c + at, x);
        }
}

#define TILE_CASE(r)                                                                      \
    case r:                                                                               \
        if (vectors == 2) tile_of(r, 2, k, a, b, c, step, accumulate, finish);            \
        else tile_of(r, 1, k, a, b, c, step, accumulate, finish);                         \
        break;

TARGET static void NAME(tile)(unsigned rows, unsigned vectors, size_t k, const float *a,
                              const float *b, float *c, ptrdiff_t step, int accumulate,
                              const cm_finish *finish) {
    switch (rows) {
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
        TILE_CASE(5)
        TILE_CASE(6)
#if TILE_ROWS > 6
        TILE_CASE(7)
        TILE_CASE(8)
        TILE_CASE(9)
        TILE_CASE(10)
        TILE_CASE(11)
        TILE_CASE(12)
        TILE_CASE(13)
        TILE_CASE(14)
#endif
    }
}
