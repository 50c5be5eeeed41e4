/* Convolutions and inner products of 8-bit integers beside plain loops, at every SIMD level. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "cm_int8.h"
#include "cm_pool.h"
#include "cm_simd.h"

static const cm_int8_grid grid = {25, 40};

static float *some_floats(size_t count) {
    float *values = room(count * sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = (float)below(8001) / 1000 - 4;
    return values;
}

/* Of few sizes, or of any: so with and without extras. */
static int8_t *some_weights(size_t count, int large) {
    int8_t *values = room(count);
    for (size_t i = 0; i < count; i++)
        values[i] = (int8_t)(large ? (int)below(256) - 128 : (int)below(41) - 20);
    return values;
}

/* The integer of a value, less the one that stands for 0. */
static int32_t integer(float x) {
    float y = x * grid.inverse, low = (float)-grid.zero, high = (float)(127 - grid.zero);
    return (int32_t)nearbyintf(y < low ? low : y > high ? high : y);
}

static float finished(int32_t sum, const cm_finish *f, size_t output, float residual) {
    float y = (float)sum * f->scale[output];
    y += f->bias[output];
    y += residual;
    return y > 0 ? y : 0;
}

static void plain(const cm_geometry *g, const int8_t *weights, const float *x, const cm_finish *f,
                  float *y) {
    size_t volume = g->size[1] * g->size[2], inner = g->channels * g->kernel[1] * g->kernel[2], n = 0;
    for (size_t image = 0; image < g->images; image++)
        for (size_t o = 0; o < g->groups * g->outputs; o++)
            for (size_t h = 0; h < g->out[1]; h++)
                for (size_t w = 0; w < g->out[2]; w++, n++) {
                    const int8_t *weight = weights + o * inner;
                    int32_t sum = 0;
                    for (size_t c = 0; c < g->channels; c++)
                        for (size_t i = 0; i < g->kernel[1]; i++)
                            for (size_t j = 0; j < g->kernel[2]; j++, weight++) {
                                size_t channel = o / g->outputs * g->channels + c;
                                size_t row = h * g->stride[1] + i * g->dilation[1] - g->pad[1];
                                size_t column = w * g->stride[2] + j * g->dilation[2] - g->pad[2];
                                if (row >= g->size[1] || column >= g->size[2]) continue;
                                channel += image * g->groups * g->channels;
                                sum += *weight * integer(x[channel * volume + row * g->size[2] + column]);
                            }
                    y[n] = finished(sum, f, o, f->residual[n]);
                }
}

static int32_t *offsets_of(size_t outputs, size_t inner, const int8_t *weights) {
    int32_t *offsets = room(outputs * sizeof *offsets);
    for (size_t o = 0; o < outputs; o++) {
        offsets[o] = 0;
        for (size_t k = 0; k < inner; k++) offsets[o] -= grid.zero * weights[o * inner + k];
    }
    return offsets;
}

static void convolution(const cm_geometry *g, int large, unsigned threads) {
    size_t outputs = g->groups * g->outputs, taps = g->kernel[1] * g->kernel[2];
    size_t inner = g->channels * taps, count = g->images * outputs * g->out[1] * g->out[2];
    float *x = some_floats(g->images * g->groups * g->channels * g->size[1] * g->size[2]);
    float *scale = some_floats(outputs), *bias = some_floats(outputs);
    float *residual = some_floats(count), *expected = some_floats(count);
    float *y = room(count * sizeof *y);
    int8_t *weights = some_weights(outputs * inner, large);
    int32_t *offsets = offsets_of(outputs, inner, weights);
    cm_finish finish = {scale, bias, residual, 1, 0};
    plain(g, weights, x, &finish, expected);
    for (int deep = 0; deep < 2; deep++)
        EACH_LEVEL(level) {
            const cm_engine *engine = cm_kernel.engine;
            size_t extra_count = cm_int8_pack(engine, g->groups, g->outputs, g->channels, taps, deep,
                                              weights, NULL, NULL, NULL);
            int8_t *packed = room(cm_int8_bytes(g->groups, g->outputs, g->channels, taps));
            cm_int8_extra *extras = room((extra_count + 1) * sizeof *extras);
            int64_t *starts =
                room((cm_int8_panels(engine, g->groups, g->outputs) + 1) * sizeof *starts);
            cm_int8_pack(engine, g->groups, g->outputs, g->channels, taps, deep, weights, packed,
                         extras, starts);
            cm_int8_weights all = {packed, extras, starts, offsets, deep};
            cm_int8 plan;
            CHECK(cm_int8_plan(&plan, g, &grid, engine, threads) == CM_OK);
            float *space = room(cm_int8_space(&plan) * sizeof *space);
            memset(y, 0xff, count * sizeof *y);
            cm_int8_run(&plan, &all, x, y, &finish, space);
            CHECK(!memcmp(y, expected, count * sizeof *y));
            cm_int8_free(&plan);
            free(space);
            free(packed);
            free(extras);
            free(starts);
        }
    free(x);
    free(scale);
    free(bias);
    free(residual);
    free(expected);
    free(y);
    free(weights);
    free(offsets);
}

static void convolutions(void) {
    for (size_t i = 0; i < 150; i++) {
        cm_geometry g = {1 + below(3), 1 + below(3), 1 + below(19), 1 + below(17),
                         {1, 1 + below(20), 1 + below(40)}, {1, 0, 0},
                         {1, 1 + below(4), 1 + below(4)},   {1, 1 + below(3), 1 + below(3)},
                         {0, below(3), below(3)},           {1, 1 + below(2), 1 + below(2)}};
        int fits = 1;
        for (int axis = 1; axis < 3; axis++) {
            size_t span = (g.kernel[axis] - 1) * g.dilation[axis] + 1;
            size_t padded = g.size[axis] + 2 * g.pad[axis];
            fits &= span <= padded;
            g.out[axis] = (padded - span) / g.stride[axis] + 1;
        }
        if (fits) convolution(&g, i % 2, 1 + (unsigned)i % 3);
    }
}

static void product(size_t rows, size_t outputs, size_t inner, unsigned threads) {
    float *x = some_floats(rows * inner), *scale = some_floats(outputs);
    float *bias = some_floats(outputs), *residual = some_floats(rows * outputs);
    float *y = room(rows * outputs * sizeof *y);
    int8_t *weights = some_weights(outputs * inner, 1);
    int8_t *packed = room(outputs * cm_int8_dense_row(inner));
    int32_t *offsets = offsets_of(outputs, inner, weights);
    cm_finish finish = {scale, bias, residual, 1, 0};
    cm_int8_dense_pack(outputs, inner, weights, packed);
    EACH_LEVEL(level) {
        float *space = room(cm_int8_dense_space(rows, inner) * sizeof *space);
        cm_int8_dense_run(cm_kernel.engine, threads, rows, inner, outputs, &grid, packed, offsets, x,
                          y, &finish, space);
        for (size_t r = 0; r < rows; r++)
            for (size_t o = 0; o < outputs; o++) {
                int32_t sum = 0;
                for (size_t k = 0; k < inner; k++)
                    sum += weights[o * inner + k] * integer(x[r * inner + k]);
                CHECK(y[r * outputs + o] == finished(sum, &finish, o, residual[r * outputs + o]));
            }
        free(space);
    }
    free(x);
    free(scale);
    free(bias);
    free(residual);
    free(y);
    free(weights);
    free(packed);
    free(offsets);
}

static void products(void) {
    static const size_t sizes[] = {1, 2, 3, 5, 63, 64, 65, 255, 1001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t rows = 1; rows < 6; rows += 2)
            product(rows, 1 + below(70), sizes[i], 1 + (unsigned)i % 3);
}

/* What no plan may be made of. */
static void refusals(void) {
    cm_geometry g = {1, 1, 8, 4, {1, 5, 5}, {1, 3, 3}, {1, 3, 3}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}};
    const cm_int8_grid wrong_grid = {1, 128};
    cm_int8 plan;
    EACH_LEVEL(level) {
        CHECK(cm_int8_plan(&plan, &g, &wrong_grid, cm_kernel.engine, 1) == CM_ARGUMENT);
        cm_geometry large = g;
        large.channels = CM_INT8_INNER / 9 + 1;
        CHECK(cm_int8_plan(&plan, &large, &grid, cm_kernel.engine, 1) == CM_ARGUMENT);
        large.channels = SIZE_MAX / 2;
        CHECK(cm_int8_plan(&plan, &large, &grid, cm_kernel.engine, 1) == CM_ARGUMENT);
        large = g;
        large.out[2] = 4;
        CHECK(cm_int8_plan(&plan, &large, &grid, cm_kernel.engine, 1) == CM_ARGUMENT);
    }
}

int main(void) {
    RUN(convolutions);
    RUN(products);
    RUN(refusals);
    cm_pool_stop();
    return finish();
}
