/* The fully connected layer of 8-bit integers. */
#include <string.h>

#include "cm_int8.h"
#include "cm_pool.h"

/* Bytes of a packed row are a multiple of this: the longest vector. */
#define ROW 64
#define OUTPUTS 4
#define ROWS 2
#define MOST_BLOCK 60
#define UNITS_PER_THREAD 4

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

size_t cm_int8_dense_row(size_t inner) { return ceil_div(ceil_div(inner, 4) * 4, ROW) * ROW; }

/* Word i of a row has the elements i, i + quarter, i + 2 quarter, i + 3 quarter. */
void cm_int8_dense_pack(size_t outputs, size_t inner, const int8_t *weights, int8_t *packed) {
    size_t bytes = cm_int8_dense_row(inner), quarter = ceil_div(inner, 4);
    memset(packed, 0, outputs * bytes);
    for (size_t o = 0; o < outputs; o++)
        for (size_t k = 0; k < inner; k++)
            packed[o * bytes + k % quarter * 4 + k / quarter] = weights[o * inner + k];
}

size_t cm_int8_dense_space(size_t rows, size_t inner) {
    return rows * cm_int8_dense_row(inner) / sizeof(float);
}

typedef struct {
    const cm_engine *engine;
    size_t rows, outputs, bytes, block;
    const int8_t *packed;
    const int32_t *offsets;
    const uint8_t *x;
    float *y;
    const cm_finish *finish;
} run_state;

static void quantise_row(const cm_engine *engine, size_t inner, const cm_int8_grid *grid,
                         const float *x, uint32_t *out) {
    size_t quarter = ceil_div(inner, 4), whole = inner / quarter, rest = inner % quarter;
    memset(out, 0, cm_int8_dense_row(inner));
    if (rest) engine->quantise((unsigned)whole + 1, x, quarter, rest, grid, out);
    if (rest < quarter)
        engine->quantise((unsigned)whole, x + rest, quarter, quarter - rest, grid, out + rest);
}

static void finish_sum(const run_state *state, size_t row, size_t output, int32_t total) {
    const cm_finish *f = state->finish;
    size_t place = row * state->outputs + output;
    float sum = (float)(total + state->offsets[output]);
    if (f->scale) sum *= f->scale[output];
    if (f->bias) sum += f->bias[output];
    if (f->residual) sum += f->residual[place];
    if (f->rectify && sum < 0) sum = f->slope == 0 ? 0 : sum * f->slope;
    state->y[place] = sum;
}

static void compute_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    (void)worker;
    size_t stop = lesser((unit + 1) * state->block, state->outputs);
    for (size_t output = unit * state->block; output < stop; output += OUTPUTS) {
        unsigned outputs = (unsigned)lesser(OUTPUTS, stop - output);
        for (size_t row = 0; row < state->rows; row += ROWS) {
            unsigned rows = (unsigned)lesser(ROWS, state->rows - row);
            int32_t sums[OUTPUTS * ROWS];
            state->engine->int8_dot(outputs, rows, state->bytes,
                                    state->packed + output * state->bytes,
                                    state->x + row * state->bytes, sums);
            for (unsigned o = 0; o < outputs; o++)
                for (unsigned r = 0; r < rows; r++)
                    finish_sum(state, row + r, output + o, sums[o * ROWS + r]);
        }
    }
}

void cm_int8_dense_run(const cm_engine *engine, unsigned threads, size_t rows, size_t inner,
                       size_t outputs, const cm_int8_grid *grid, const int8_t *packed,
                       const int32_t *offsets, const float *x, float *y, const cm_finish *finish,
                       float *space) {
    size_t bytes = cm_int8_dense_row(inner);
    run_state state = {engine, rows, outputs, bytes, 0, packed, offsets, (const uint8_t *)space,
                       y, finish};
    uint32_t *words = (uint32_t *)(void *)space;
    for (size_t row = 0; row < rows; row++)
        quantise_row(engine, inner, grid, x + row * inner, words + row * bytes / 4);
    size_t share = ceil_div(ceil_div(outputs, threads * UNITS_PER_THREAD), OUTPUTS) * OUTPUTS;
    state.block = lesser(share, MOST_BLOCK);
    cm_pool_run(threads, ceil_div(outputs, state.block), compute_unit, &state);
}
