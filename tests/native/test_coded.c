/* Compressed weights beside plain loops, at every SIMD level. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "cm_coded.h"
#include "cm_pool.h"
#include "cm_simd.h"

static float *some_floats(size_t count) {
    float *values = room(count * sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = (float)below(2001) / 1000 - 1;
    return values;
}

/* Whether y agrees with plain sums over the dense weights. */
static int agrees(size_t rows, size_t outputs, size_t inner, const float *weights, const float *x,
                  const float *y, const float *bias) {
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < outputs; o++) {
            double sum = bias[o];
            for (size_t k = 0; k < inner; k++)
                sum += (double)weights[o * inner + k] * x[r * inner + k];
            if (!(fabs(fmax(sum, 0) - y[r * outputs + o]) <= 1e-5 * (1 + sqrt((double)inner))))
                return 0;
        }
    return 1;
}

static void run(size_t rows, const cm_coded *m, const float *weights, unsigned threads) {
    float *x = some_floats(rows * m->inner), *bias = some_floats(m->outputs);
    float *y = room(rows * m->outputs * sizeof *y);
    cm_finish finish = {NULL, bias, NULL, 1, 0};
    EACH_LEVEL(level) {
        float *space = room(cm_coded_space(cm_kernel.engine, rows, m) * sizeof *space);
        memset(y, 0xff, rows * m->outputs * sizeof *y);
        cm_coded_run(cm_kernel.engine, threads, rows, m, x, y, &finish, space);
        CHECK(agrees(rows, m->outputs, m->inner, weights, x, y, bias));
        free(space);
    }
    free(x);
    free(bias);
    free(y);
}

/* One weight in `part`; row 1 is empty. */
static void sparse(size_t rows, size_t outputs, size_t inner, unsigned part, unsigned threads) {
    float *weights = some_floats(outputs * inner), *entries = some_floats(CM_CODED_ENTRIES);
    int64_t *starts = room((outputs + 1) * sizeof *starts);
    size_t stored = 0;
    uint8_t *choice = room(outputs * inner);
    for (size_t o = 0; o < outputs; o++) {
        starts[o] = (int64_t)stored;
        for (size_t k = 0; k < inner; k++)
            stored += choice[o * inner + k] = o != 1 && below(part) == 0;
    }
    starts[outputs] = (int64_t)stored;
    uint16_t *columns = room(stored * sizeof *columns);
    float *values = room(stored * sizeof *values);
    uint8_t *indices = room(stored);
    for (size_t i = 0, n = 0; i < outputs * inner; i++) {
        if (!choice[i]) {
            weights[i] = 0;
            continue;
        }
        columns[n] = (uint16_t)(i % inner);
        values[n++] = weights[i];
    }
    cm_coded m = {outputs, inner, starts, columns, values, NULL, NULL, outputs};
    run(rows, &m, weights, threads);
    for (size_t i = 0, n = 0; i < outputs * inner; i++) {
        if (!choice[i]) continue;
        indices[n] = (uint8_t)below(CM_CODED_ENTRIES);
        weights[i] = entries[indices[n++]];
    }
    m.values = NULL;
    m.indices = indices;
    m.entries = entries;
    run(rows, &m, weights, threads);
    free(weights);
    free(entries);
    free(starts);
    free(choice);
    free(columns);
    free(values);
    free(indices);
}

static void sparse_products(void) {
    static const size_t rows[] = {1, 2, 4, 9, 17, 70}, sizes[] = {1, 7, 64, 130, 500};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            sparse(rows[r], sizes[(i + r) % 4], sizes[i], 1 + (unsigned)(r + i) % 3,
                   1 + (unsigned)r % 3);
}

static void coded(size_t rows, size_t outputs, size_t inner, size_t books, unsigned threads) {
    float *weights = room(outputs * inner * sizeof *weights);
    float *entries = some_floats(books * CM_CODED_ENTRIES);
    uint8_t *indices = room(outputs * inner), *packed = room(cm_coded_bytes(outputs, inner));
    for (size_t i = 0; i < outputs * inner; i++) {
        indices[i] = (uint8_t)below(CM_CODED_ENTRIES);
        size_t book = i / inner / (outputs / books);
        weights[i] = entries[book * CM_CODED_ENTRIES + indices[i]];
    }
    cm_coded_pack(outputs, inner, indices, packed);
    cm_coded m = {outputs, inner, NULL, NULL, NULL, packed, entries, outputs / books};
    run(rows, &m, weights, threads);
    free(weights);
    free(entries);
    free(indices);
    free(packed);
}

static void coded_products(void) {
    static const size_t sizes[] = {1, 31, 32, 33, 64, 300};
    for (size_t r = 1; r <= CM_CODED_ROWS; r++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            coded(r, 12, sizes[i], 1, 1 + (unsigned)i % 3);
            coded(r, 12, sizes[i], i % 2 ? 12 : 3, 1);
        }
}

int main(void) {
    RUN(sparse_products);
    RUN(coded_products);
    cm_pool_stop();
    return finish();
}
