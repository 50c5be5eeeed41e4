/* The engine's kernels beside plain loops, at every SIMD level, and the pool of threads. */
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "cm_conv.h"
#include "cm_dense.h"
#include "cm_pool.h"
#include "cm_pooling.h"
#include "cm_simd.h"
#include "cm_sparse.h"
#include "cm_wino.h"

#ifdef RACE
static struct { const cm_engine *engine; } only_scalar = {&cm_engine_scalar};
#define cm_kernel only_scalar
#undef EACH_LEVEL
#define EACH_LEVEL(level) for (int level = 0; level < 1; level++)
#endif

/* In memory of its exact size, so that the sanitizer sees every step over the end. */
static float *some_floats(size_t count) {
    float *values = room(count * sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = (float)below(2001) / 1000 - 1;
    return values;
}

static size_t volume(const size_t *size) { return size[0] * size[1] * size[2]; }

static double plain_sum(const cm_geometry *g, const float *weights, const float *x, size_t image,
                        size_t group, size_t output, const size_t *at) {
    size_t channels = g->groups * g->channels, row = group * g->outputs + output;
    const float *weight = weights + row * g->channels * volume(g->kernel);
    double sum = 0;
    for (size_t c = 0; c < g->channels; c++) {
        const float *plane =
            x + (image * channels + group * g->channels + c) * volume(g->size);
        for (size_t t = 0; t < volume(g->kernel); t++, weight++) {
            size_t tap[3] = {t / g->kernel[2] / g->kernel[1], t / g->kernel[2] % g->kernel[1],
                             t % g->kernel[2]};
            size_t index = 0, inside = 1;
            for (int i = 0; i < 3; i++) {
                ptrdiff_t p = (ptrdiff_t)(at[i] * g->stride[i] + tap[i] * g->dilation[i]) -
                              (ptrdiff_t)g->pad[i];
                inside &= p >= 0 && p < (ptrdiff_t)g->size[i];
                index = index * g->size[i] + (size_t)p;
            }
            if (inside) sum += (double)*weight * plane[index];
        }
    }
    return sum;
}

static double finished(double sum, const cm_finish *f, size_t row, size_t place) {
    if (f->scale) sum *= f->scale[row];
    if (f->bias) sum += f->bias[row];
    if (f->residual) sum += f->residual[place];
    return f->rectify && sum < 0 ? sum * f->slope : sum;
}

/* Whether no error is above this part of the largest magnitude. */
static int agrees(const cm_geometry *g, const float *weights, const float *x, const float *y,
                  const cm_finish *finish, double tolerance) {
    size_t place = 0;
    double error = 0, largest = 0;
    for (size_t image = 0; image < g->images; image++)
        for (size_t row = 0; row < g->groups * g->outputs; row++)
            for (size_t p = 0; p < volume(g->out); p++, place++) {
                size_t at[3] = {p / g->out[2] / g->out[1], p / g->out[2] % g->out[1],
                                p % g->out[2]};
                double sum = plain_sum(g, weights, x, image, row / g->outputs, row % g->outputs, at);
                sum = finished(sum, finish, row, place);
                if (!(fabs(sum - y[place]) <= error)) error = fabs(sum - y[place]);
                if (fabs(sum) > largest) largest = fabs(sum);
            }
    return error <= tolerance * largest;
}

static const cm_geometry geometries[] = {
    {1, 1, 3, 7, {1, 9, 11}, {1, 7, 9}, {1, 3, 3}, {1, 1, 1}, {0}, {1, 1, 1}},
    {2, 1, 3, 16, {1, 13, 13}, {1, 13, 13}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {3, 2, 5, 13, {1, 7, 7}, {1, 4, 4}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {5, 1, 40, 30, {1, 7, 7}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}},
    {2, 1, 8, 9, {1, 14, 15}, {1, 7, 8}, {1, 1, 1}, {1, 2, 2}, {0}, {1, 1, 1}},
    {1, 1, 3, 8, {1, 33, 35}, {1, 16, 17}, {1, 7, 7}, {1, 2, 2}, {0, 2, 2}, {1, 1, 1}},
    {1, 1, 3, 6, {1, 23, 27}, {1, 4, 5}, {1, 11, 11}, {1, 4, 4}, {0}, {1, 1, 1}},
    {2, 1, 4, 5, {1, 12, 10}, {1, 8, 6}, {1, 3, 3}, {1, 1, 1}, {0}, {1, 2, 2}},
    {1, 1, 90, 20, {1, 9, 9}, {1, 9, 9}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {2, 1, 3, 4, {5, 6, 7}, {3, 3, 5}, {3, 2, 3}, {2, 2, 1}, {1, 0, 0}, {1, 1, 1}},
    {9, 1, 6, 4, {1, 3, 1}, {1, 3, 1}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {1, 1, 2, 3, {1, 1, 40}, {1, 1, 12}, {1, 1, 5}, {1, 1, 3}, {0, 0, 0}, {1, 1, 1}},
    {1, 4, 1, 1, {1, 6, 6}, {1, 6, 6}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {2, 3, 1, 1, {1, 19, 21}, {1, 10, 11}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}},
    {1, 5, 1, 1, {2, 9, 18}, {2, 5, 14}, {1, 5, 5}, {1, 1, 1}, {0}, {1, 1, 1}},
};

static void convolve(const cm_geometry *g, unsigned threads, const cm_finish *finish) {
    size_t rows = g->groups * g->outputs, inner = g->channels * volume(g->kernel);
    size_t inputs = g->images * g->groups * g->channels * volume(g->size);
    size_t results = g->images * rows * volume(g->out);
    float *weights = some_floats(rows * inner), *packed = room(rows * inner * sizeof *packed);
    float *x = some_floats(inputs), *y = room(results * sizeof *y);
    cm_conv conv;
    CHECK(cm_conv_plan(&conv, g, cm_kernel.engine, threads) == CM_OK);
    float *space = room(cm_conv_space(&conv) * sizeof *space);
    cm_conv_pack(cm_kernel.engine, g->groups, g->outputs, inner, weights, packed);
    cm_conv_run(&conv, packed, x, y, finish, space);
    CHECK(agrees(g, weights, x, y, finish, 2e-6));
    cm_conv_free(&conv);
    free(weights);
    free(packed);
    free(x);
    free(y);
    free(space);
}

/* A part of the blocks of rows and columns has weights; the last row has none. */
static void convolve_sparse(const cm_geometry *g, unsigned rows, unsigned threads,
                            const cm_finish *finish) {
    size_t outputs = g->groups * g->outputs, inner = g->channels * volume(g->kernel), stored = 0;
    size_t inputs = g->images * g->groups * g->channels * volume(g->size);
    size_t results = g->images * outputs * volume(g->out);
    cm_sparse sparse;
    if (cm_sparse_plan(&sparse, g, cm_kernel.engine, rows, threads) != CM_OK) {
        CHECK(g->outputs % rows || g->out[2] < cm_kernel.engine->lanes);
        return;
    }
    float *weights = some_floats(outputs * inner), *x = some_floats(inputs);
    float *packed = room(outputs * inner * sizeof *packed), *y = room(results * sizeof *y);
    int64_t *starts = room((outputs / rows + 1) * sizeof *starts);
    int32_t *offsets = room(outputs / rows * inner * sizeof *offsets);
    starts[0] = 0;
    for (size_t b = 0; b < outputs / rows; b++) {
        for (size_t k = 0; k < inner; k++) {
            int there = b + 1 < outputs / rows && below(3) == 0;
            for (size_t r = b * rows; r < (b + 1) * rows; r++) {
                if (!there) weights[r * inner + k] = 0;
                if (there) packed[stored * rows + r % rows] = weights[r * inner + k];
            }
            if (there) offsets[stored++] = cm_sparse_offset(&sparse, k);
        }
        starts[b + 1] = (int64_t)stored;
    }
    float *space = room(cm_sparse_space(&sparse) * sizeof *space);
    cm_sparse_run(&sparse, starts, offsets, packed, x, y, finish, space);
    CHECK(agrees(g, weights, x, y, finish, 2e-6));
    cm_sparse_free(&sparse);
    free(weights);
    free(x);
    free(packed);
    free(y);
    free(starts);
    free(offsets);
    free(space);
}

static void convolutions(void) {
    float *scale = some_floats(64), *bias = some_floats(64), *residual = some_floats(20000);
    const cm_finish finishes[] = {
        {NULL, NULL, NULL, 0, 0},         {NULL, bias, NULL, 1, 0},
        {scale, bias, residual, 1, 0},    {NULL, bias, residual, 0, 0},
        {scale, bias, NULL, 1, 0.25f},
    };
    for (size_t i = 0; i < sizeof geometries / sizeof *geometries; i++)
        for (size_t f = 0; f < sizeof finishes / sizeof *finishes; f++)
            EACH_LEVEL(level) {
                unsigned threads = 1 + (unsigned)(i + f) % 3;
                convolve(geometries + i, threads, finishes + f);
                convolve_sparse(geometries + i, 1, threads, finishes + f);
                convolve_sparse(geometries + i, 4, threads, finishes + f);
            }
    free(scale);
    free(bias);
    free(residual);
}

static const cm_geometry filtered[] = {
    {1, 1, 3, 7, {1, 9, 11}, {1, 7, 9}, {1, 3, 3}, {1, 1, 1}, {0}, {1, 1, 1}},
    {2, 1, 5, 16, {1, 13, 13}, {1, 13, 13}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {3, 2, 6, 13, {1, 7, 7}, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {1, 1, 40, 60, {1, 28, 30}, {1, 28, 30}, {1, 5, 5}, {1, 1, 1}, {0, 2, 2}, {1, 1, 1}},
    {2, 1, 4, 3, {1, 8, 5}, {1, 4, 1}, {1, 5, 5}, {1, 1, 1}, {0}, {1, 1, 1}},
    {1, 1, 2, 3, {1, 3, 2}, {1, 9, 8}, {1, 3, 3}, {1, 1, 1}, {0, 4, 4}, {1, 1, 1}},
    {1, 1, 70, 50, {1, 20, 37}, {1, 20, 37}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
};

static void filter(const cm_geometry *g, size_t size, unsigned threads, const cm_finish *finish) {
    size_t rows = g->groups * g->outputs, inner = g->channels * volume(g->kernel);
    size_t inputs = g->images * g->groups * g->channels * volume(g->size);
    size_t results = g->images * rows * volume(g->out);
    float *weights = some_floats(rows * inner);
    float *packed = room(rows * g->channels * size * size * sizeof *packed);
    float *x = some_floats(inputs), *y = room(results * sizeof *y);
    cm_wino wino;
    CHECK(cm_wino_plan(&wino, g, size, cm_kernel.engine, threads) == CM_OK);
    float *space = room(cm_wino_space(&wino) * sizeof *space);
    cm_wino_pack(cm_kernel.engine, g->groups, g->outputs, g->channels, g->kernel[1], size, weights,
                 packed);
    cm_wino_run(&wino, packed, x, y, finish, space);
    CHECK(agrees(g, weights, x, y, finish, 2e-5));
    free(weights);
    free(packed);
    free(x);
    free(y);
    free(space);
}

static void filters(void) {
    float *scale = some_floats(64), *bias = some_floats(64), *residual = some_floats(60000);
    const cm_finish finishes[] = {
        {NULL, NULL, NULL, 0, 0},
        {scale, bias, NULL, 1, 0},
        {scale, bias, residual, 1, 0.25f},
    };
    for (size_t i = 0; i < sizeof filtered / sizeof *filtered; i++)
        for (size_t f = 0; f < sizeof finishes / sizeof *finishes; f++)
            EACH_LEVEL(level) {
                filter(filtered + i, 6, 1 + (unsigned)(i + f) % 3, finishes + f);
                if (filtered[i].kernel[1] == 3)
                    filter(filtered + i, 4, 1 + (unsigned)(i + f) % 3, finishes + f);
            }
    cm_wino wino;
    CHECK(cm_wino_plan(&wino, geometries + 2, 6, &cm_engine_scalar, 1) == CM_ARGUMENT);
    CHECK(cm_wino_plan(&wino, filtered, 5, &cm_engine_scalar, 1) == CM_ARGUMENT);
    CHECK(cm_wino_plan(&wino, filtered + 3, 4, &cm_engine_scalar, 1) == CM_ARGUMENT);
    free(scale);
    free(bias);
    free(residual);
}

static void multiply(size_t rows, size_t inner, size_t outputs, unsigned threads) {
    float *weights = some_floats(outputs * inner), *x = some_floats(rows * inner);
    float *bias = some_floats(outputs), *y = room(rows * outputs * sizeof *y);
    float *space = room(cm_dense_space(cm_kernel.engine, rows, inner) * sizeof *space);
    cm_finish finish = {.bias = bias, .rectify = 1, .slope = 0.5f};
    cm_dense_run(cm_kernel.engine, threads, rows, inner, outputs, weights, x, y, &finish, space);
    double error = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < outputs; o++) {
            double sum = 0;
            for (size_t i = 0; i < inner; i++) sum += (double)x[r * inner + i] * weights[o * inner + i];
            sum = finished(sum, &finish, o, 0);
            error = fmax(error, fabs(sum - y[r * outputs + o]));
        }
    CHECK(error < 2e-6 * (double)(inner + 10));
    free(weights);
    free(x);
    free(bias);
    free(y);
    free(space);
}

static void products(void) {
    static const size_t rows[] = {1, 3, 4, 5, 8, 17, 33}, sizes[] = {1, 7, 64, 130, 1100};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            EACH_LEVEL(level) multiply(rows[r], sizes[i], sizes[(i + r) % 4], 1 + r % 3);
}

static void plain_pool(const cm_window *w, const float *x, double *y) {
    for (size_t o = 0; o < w->out[0] * w->out[1]; o++) {
        ptrdiff_t from[2], to[2];
        for (int i = 0; i < 2; i++) {
            size_t at = i ? o % w->out[1] : o / w->out[1];
            from[i] = (ptrdiff_t)(at * w->stride[i]) - (ptrdiff_t)w->pad[i];
            to[i] = from[i] + (ptrdiff_t)w->kernel[i];
            ptrdiff_t most = (ptrdiff_t)(w->size[i] + w->pad[i]);
            if (to[i] > most) to[i] = most;
        }
        double value = w->maximum ? -FLT_MAX : 0;
        double area = (double)((to[0] - from[0]) * (to[1] - from[1]));
        for (ptrdiff_t h = from[0]; h < to[0]; h++)
            for (ptrdiff_t v = from[1]; v < to[1]; v++) {
                if (h < 0 || v < 0 || h >= (ptrdiff_t)w->size[0] || v >= (ptrdiff_t)w->size[1]) continue;
                double here = x[h * (ptrdiff_t)w->size[1] + v];
                value = w->maximum ? fmax(value, here) : value + here;
            }
        if (!w->maximum) value /= area;
        y[o] = w->rectify && value < 0 ? 0 : value;
    }
}

static void pooling(void) {
    static const cm_window windows[] = {
        {{13, 15}, {6, 7}, {3, 3}, {2, 2}, {0, 0}, 0, 1},
        {{8, 5}, {4, 3}, {2, 2}, {2, 2}, {0, 0}, 0, 0},
        {{6, 37}, {6, 37}, {3, 3}, {1, 1}, {1, 1}, 0, 0},
        {{7, 7}, {1, 1}, {7, 7}, {1, 1}, {0, 0}, 0, 0},
        {{7, 9}, {1, 1}, {7, 9}, {4, 2}, {0, 0}, 0, 1},
        {{2, 2}, {1, 1}, {2, 2}, {2, 2}, {0, 0}, 0, 1},
        {{3, 1}, {2, 2}, {2, 2}, {2, 1}, {1, 1}, 0, 1},
        {{9, 40}, {3, 19}, {5, 4}, {3, 2}, {2, 1}, 0, 0},
    };
    for (size_t i = 0; i < 2 * (sizeof windows / sizeof *windows); i++) {
        cm_window w = windows[i / 2];
        w.maximum = (int)i % 2;
        enum { PLANES = 3 };
        size_t in = w.size[0] * w.size[1], out = w.out[0] * w.out[1];
        unsigned threads = 1 + (unsigned)i % 2;
        float *x = some_floats(PLANES * in), *y = room(PLANES * out * sizeof *y);
        float *space = room(threads * cm_pooling_space(&w) * sizeof *space);
        double *expected = room(out * sizeof *expected);
        CHECK(cm_pooling_suits(&w));
        EACH_LEVEL(level) {
            cm_pooling_run(cm_kernel.engine, threads, PLANES, &w, x, y, space);
            for (size_t p = 0; p < PLANES; p++) {
                plain_pool(&w, x + p * in, expected);
                for (size_t o = 0; o < out; o++) CHECK(fabs(expected[o] - y[p * out + o]) < 1e-6);
            }
        }
        free(x);
        free(y);
        free(space);
        free(expected);
    }
}

static void normalisation(void) {
    enum { IMAGES = 2, CHANNELS = 7, POSITIONS = 131, SIZE = 5 };
    size_t count = IMAGES * CHANNELS * POSITIONS;
    float *x = some_floats(count), *y = room(count * sizeof *y);
    EACH_LEVEL(level) {
        cm_lrn_run(cm_kernel.engine, 2, IMAGES, CHANNELS, POSITIONS, SIZE, 0.5f, 2, x, y);
        for (size_t i = 0; i < count; i++) {
            ptrdiff_t c = (ptrdiff_t)(i / POSITIONS % CHANNELS);
            double sum = 0;
            for (ptrdiff_t d = -SIZE / 2; d <= SIZE / 2; d++)
                if (c + d >= 0 && c + d < CHANNELS) sum += pow(x[(ptrdiff_t)i + d * POSITIONS], 2);
            CHECK(fabs(x[i] * pow(2 + 0.5 / SIZE * sum, -0.75) - y[i]) < 1e-6);
        }
    }
    free(x);
    free(y);
}

static void refusals(void) {
    cm_geometry g = geometries[0];
    cm_conv conv;
    g.out[2]++; /* looks beyond the image */
    CHECK(cm_conv_plan(&conv, &g, &cm_engine_scalar, 1) == CM_ARGUMENT);
    g = geometries[0];
    g.stride[1] = 0;
    CHECK(cm_conv_plan(&conv, &g, &cm_engine_scalar, 1) == CM_ARGUMENT);
    g = geometries[0];
    g.images = SIZE_MAX / 2;
    CHECK(cm_conv_plan(&conv, &g, &cm_engine_scalar, 1) == CM_ARGUMENT);
}

enum { UNITS = 1000 };

static atomic_uint counts[UNITS];
static atomic_uint busy[64];

static void count_unit(void *context, size_t unit, unsigned worker) {
    CHECK(worker < *(unsigned *)context);
    CHECK(atomic_fetch_add(busy + worker, 1) == 0);
    atomic_fetch_add(counts + unit, 1);
    atomic_fetch_sub(busy + worker, 1);
}

static void pool(void) {
    for (unsigned round = 1; round <= 200; round++) {
        unsigned threads = 1 + round % 4;
        size_t units = round * 5;
        cm_pool_run(threads, units, count_unit, &threads);
        for (size_t i = 0; i < UNITS; i++) CHECK(atomic_exchange(counts + i, 0) == (i < units));
        if (round % 50 == 0) cm_pool_stop();
    }
    unsigned threads = 1;
    cm_pool_run(3, 0, count_unit, &threads);
}

int main(void) {
    RUN(convolutions);
    RUN(filters);
    RUN(products);
    RUN(pooling);
    RUN(normalisation);
    RUN(refusals);
    RUN(pool);
    cm_pool_stop();
    return finish();
}
