/* Rows of compressed weights times rows of x, for one level; see cm_coded.h. */

/* Bytes between what is looked up and what is fetched: the weights come from the memory. */
#define CODED_AHEAD 1024

/* A row of a sparse matrix: its weights, written as floats or as indices. */
typedef struct {
    size_t count;
    const uint16_t *columns;
    const float *values;
    const uint8_t *indices;
    const float *entries;
} coded_row;

INLINE coded_row row_of(const cm_coded *m, size_t output) {
    size_t first = (size_t)m->starts[output];
    coded_row row = {(size_t)m->starts[output + 1] - first, m->columns + first, NULL, NULL, NULL};
    if (m->values) {
        row.values = m->values + first;
    } else {
        row.indices = m->indices + first;
        row.entries = m->entries + output / m->shared * CM_CODED_ENTRIES;
    }
    return row;
}

/* Four sums, so that they do not wait for each other; then two and one for what is left. */
INLINE TARGET float sparse_dot(const int floats, const coded_row *row, const float *x) {
    table t = {0};
    if (!floats) t = load_table(row->entries);
    V sum[4];
    UNROLL for (unsigned w = 0; w < 4; w++) sum[w] = fill(0);
    size_t i = 0;
    for (; i + 4 * LANES <= row->count; i += 4 * LANES)
        UNROLL for (unsigned w = 0; w < 4; w++) {
            size_t at = i + w * LANES;
            V weight = floats ? load(row->values + at) : look_up(&t, row->indices + at);
            sum[w] = fma_(weight, gather16(x, row->columns + at), sum[w]);
        }
    for (; i + LANES <= row->count; i += LANES) {
        V weight = floats ? load(row->values + i) : look_up(&t, row->indices + i);
        sum[0] = fma_(weight, gather16(x, row->columns + i), sum[0]);
    }
    float result = total(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
    for (; i < row->count; i++) {
        float weight = floats ? row->values[i] : row->entries[row->indices[i]];
        result += weight * x[row->columns[i]];
    }
    return result;
}

/* All weights of a row, in blocks of the table; the last may be filled up. */
INLINE TARGET void table_dot(const unsigned rows, const cm_coded *m, size_t output, const float *x,
                             float *sums) {
    enum { BLOCK_VECTORS = TABLE_BLOCK / LANES };
    const uint8_t *indices =
        m->indices + output * ((m->inner + TABLE_BLOCK - 1) / TABLE_BLOCK) * (TABLE_BLOCK / 2);
    table t = load_table(m->entries + output / m->shared * CM_CODED_ENTRIES);
    const unsigned ways = rows == 1 ? BLOCK_VECTORS : 1;
    V sum[4][BLOCK_VECTORS], weights[BLOCK_VECTORS];
    UNROLL for (unsigned r = 0; r < rows; r++)
        UNROLL for (unsigned w = 0; w < ways; w++) sum[r][w] = fill(0);
    size_t i = 0;
    for (; i + TABLE_BLOCK <= m->inner; i += TABLE_BLOCK, indices += TABLE_BLOCK / 2) {
        if (rows == 1) __builtin_prefetch(indices + CODED_AHEAD);
        look_up_block(&t, indices, weights);
        UNROLL for (unsigned r = 0; r < rows; r++)
            UNROLL for (unsigned v = 0; v < BLOCK_VECTORS; v++)
                sum[r][v % ways] =
                    fma_(weights[v], load(x + r * m->inner + i + v * LANES), sum[r][v % ways]);
    }
    if (i < m->inner) {
        float values[TABLE_BLOCK];
        look_up_block(&t, indices, weights);
        UNROLL for (unsigned v = 0; v < BLOCK_VECTORS; v++) store(values + v * LANES, weights[v]);
        UNROLL for (unsigned r = 0; r < rows; r++) {
            sums[r] = 0;
            for (size_t j = i; j < m->inner; j++) sums[r] += values[j - i] * x[r * m->inner + j];
        }
    } else {
        UNROLL for (unsigned r = 0; r < rows; r++) sums[r] = 0;
    }
    UNROLL for (unsigned r = 0; r < rows; r++) {
        UNROLL for (unsigned w = 1; w < ways; w++) sum[r][0] = add(sum[r][0], sum[r][w]);
        sums[r] += total(sum[r][0]);
    }
}

TARGET static void NAME(coded)(const cm_coded *m, size_t output, unsigned rows, const float *x,
                               float *sums) {
    if (m->columns) {
        coded_row row = row_of(m, output);
        *sums = m->values ? sparse_dot(1, &row, x) : sparse_dot(0, &row, x);
        return;
    }
    switch (rows) {
    case 1: table_dot(1, m, output, x, sums); break;
    case 2: table_dot(2, m, output, x, sums); break;
    case 3: table_dot(3, m, output, x, sums); break;
    case 4: table_dot(4, m, output, x, sums); break;
    }
}

/* A sparse row times a panel: [column][lanes of as many rows of x]. */
INLINE TARGET void panel_of(const int floats, const unsigned vectors, const coded_row *row,
                            const float *panel, float *sums) {
    const unsigned ways = 4 / vectors, wide = vectors * LANES;
    V sum[4][4];
    UNROLL for (unsigned w = 0; w < ways; w++)
        UNROLL for (unsigned v = 0; v < vectors; v++) sum[w][v] = fill(0);
    size_t i = 0;
    for (; i + ways <= row->count; i += ways)
        UNROLL for (unsigned w = 0; w < ways; w++) {
            V weight = fill(floats ? row->values[i + w] : row->entries[row->indices[i + w]]);
            const float *column = panel + (size_t)row->columns[i + w] * wide;
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[w][v] = fma_(weight, load(column + v * LANES), sum[w][v]);
        }
    for (; i < row->count; i++) {
        V weight = fill(floats ? row->values[i] : row->entries[row->indices[i]]);
        const float *column = panel + (size_t)row->columns[i] * wide;
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[0][v] = fma_(weight, load(column + v * LANES), sum[0][v]);
    }
    UNROLL for (unsigned v = 0; v < vectors; v++) {
        UNROLL for (unsigned w = 1; w < ways; w++) sum[0][v] = add(sum[0][v], sum[w][v]);
        store(sums + v * LANES, sum[0][v]);
    }
}

#define PANEL_CASE(v)                                            \
    case v:                                                      \
        if (m->values) panel_of(1, v, &row, panel, sums);        \
        else panel_of(0, v, &row, panel, sums);                  \
        break;

TARGET static void NAME(coded_panel)(const cm_coded *m, size_t output, unsigned vectors,
                                     const float *panel, float *sums) {
    coded_row row = row_of(m, output);
    switch (vectors) {
        PANEL_CASE(1)
        PANEL_CASE(2)
        PANEL_CASE(4)
    }
}
