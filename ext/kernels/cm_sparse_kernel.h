/* Rows of sparse weights times vectors of an image's positions, for one level; see cm_sparse.h. */

/* Vectors of one row of weights, and of four rows that share their columns. */
#if LANES == 16
#define SPARSE_ONE 12
#define SPARSE_FOUR 6
#else
#define SPARSE_ONE 8
#define SPARSE_FOUR 3
#endif

/* flat: the vectors of the source lie one behind the other. */
INLINE TARGET void sparse_of(const unsigned rows, const unsigned vectors, const int flat,
                             const cm_sparse_row *row, const float *source,
                             const ptrdiff_t *places, float *y, const ptrdiff_t *targets,
                             size_t step, const cm_finish *finish) {
    const float *from[SPARSE_ONE];
    V sum[4][SPARSE_ONE];
    UNROLL for (unsigned v = 0; v < vectors; v++) {
        from[v] = flat ? source + places[0] + v * LANES : source + places[v];
        UNROLL for (unsigned r = 0; r < rows; r++) sum[r][v] = fill(0);
    }
    const float *weights = row->weights;
    const int32_t *end = row->offsets + row->count;
    for (const int32_t *offset = row->offsets; offset < end; offset++, weights += rows) {
        ptrdiff_t at = *offset;
        V x[SPARSE_FOUR];
        if (rows == 1) {
            V weight = fill(*weights);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[0][v] = fma_(weight, load(from[v] + at), sum[0][v]);
        } else {
            UNROLL for (unsigned v = 0; v < vectors; v++) x[v] = load(from[v] + at);
            UNROLL for (unsigned r = 0; r < rows; r++) {
                V weight = fill(weights[r]);
                UNROLL for (unsigned v = 0; v < vectors; v++)
                    sum[r][v] = fma_(weight, x[v], sum[r][v]);
            }
        }
    }
    UNROLL for (unsigned r = 0; r < rows; r++)
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            ptrdiff_t at = targets[v] + (ptrdiff_t)(r * step);
            store(y + at, finish_vector(sum[r][v], finish, r, at));
        }
}

#define SPARSE_CASE(rows, v)                                                                  \
    case v:                                                                                   \
        if (flat) sparse_of(rows, v, 1, row, source, places, y, targets, step, finish);       \
        else sparse_of(rows, v, 0, row, source, places, y, targets, step, finish);            \
        break;

TARGET static void NAME(sparse)(unsigned rows, unsigned vectors, int flat,
                                const cm_sparse_row *row, const float *source,
                                const ptrdiff_t *places, float *y, const ptrdiff_t *targets,
                                size_t step, const cm_finish *finish) {
    if (rows == 1) {
        switch (vectors) {
            SPARSE_CASE(1, 1)
            SPARSE_CASE(1, 2)
            SPARSE_CASE(1, 3)
            SPARSE_CASE(1, 4)
            SPARSE_CASE(1, 5)
            SPARSE_CASE(1, 6)
            SPARSE_CASE(1, 7)
            SPARSE_CASE(1, 8)
#if SPARSE_ONE > 8
            SPARSE_CASE(1, 9)
            SPARSE_CASE(1, 10)
            SPARSE_CASE(1, 11)
            SPARSE_CASE(1, 12)
#endif
        }
    } else {
        switch (vectors) {
            SPARSE_CASE(4, 1)
            SPARSE_CASE(4, 2)
            SPARSE_CASE(4, 3)
#if SPARSE_FOUR > 3
            SPARSE_CASE(4, 4)
            SPARSE_CASE(4, 5)
            SPARSE_CASE(4, 6)
#endif
        }
    }
}
