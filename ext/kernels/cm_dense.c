#include "cm_dense.h"

#include "cm_pool.h"

/* Up to here rows are multiplied as they lie, three at a time with four outputs. */
#define FEW_ROWS 4
#define DOT_OUTPUTS 4
#define DOT_ROWS 3
/* Products summed at a time: four rows of weights stay in the first-level cache. */
#define DOT_DEPTH 1024
/* Of many rows: a panel of them stays near, and short sums round less. */
#define DEPTH 512
#define OUTPUTS 6
#define MOST_COLUMNS 32
#define MOST_BLOCK 60
#define UNITS_PER_THREAD 4
/* Columns that one unit packs. */
#define PACKED 512

typedef struct {
    const cm_engine *engine;
    size_t rows, inner, outputs;
    size_t block, blocks; /* outputs of a unit */
    const float *weights, *x;
    float *y, *packed;
    const cm_finish *finish;
} run_state;

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static void finish_sum(const run_state *state, size_t row, size_t output, float sum) {
    const cm_finish *f = state->finish;
    size_t place = row * state->outputs + output;
    if (f->scale) sum *= f->scale[output];
    if (f->bias) sum += f->bias[output];
    if (f->residual) sum += f->residual[place];
    if (f->rectify && sum < 0) sum = f->slope == 0 ? 0 : sum * f->slope;
    state->y[place] = sum;
}

static void few_rows_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    (void)worker;
    size_t stop = lesser((unit + 1) * state->block, state->outputs), inner = state->inner;
    for (size_t output = unit * state->block; output < stop; output += DOT_OUTPUTS) {
        unsigned outputs = (unsigned)lesser(DOT_OUTPUTS, stop - output);
        float all[DOT_OUTPUTS][FEW_ROWS] = {{0}}, sums[DOT_OUTPUTS * DOT_ROWS];
        for (size_t at = 0; at < inner; at += DOT_DEPTH)
            for (size_t row = 0; row < state->rows; row += DOT_ROWS) {
                unsigned rows = (unsigned)lesser(DOT_ROWS, state->rows - row);
                state->engine->dot(outputs, rows, lesser(DOT_DEPTH, inner - at),
                                   state->weights + output * inner + at,
                                   state->x + row * inner + at, inner, sums);
                for (unsigned o = 0; o < outputs; o++)
                    for (unsigned r = 0; r < rows; r++) all[o][row + r] += sums[o * DOT_ROWS + r];
            }
        for (size_t row = 0; row < state->rows; row++)
            for (unsigned o = 0; o < outputs; o++)
                finish_sum(state, row, output + o, all[o][row]);
    }
}

/* Packs some columns of x into every panel: [panel][column of x][row of x]. */
static void pack_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    (void)worker;
    size_t wide = 2 * state->engine->lanes, end = lesser((unit + 1) * PACKED, state->inner);
    for (size_t row = 0; row < ceil_div(state->rows, wide) * wide; row++) {
        float *panel = state->packed + row / wide * state->inner * wide + row % wide;
        for (size_t k = unit * PACKED; k < end; k++)
            panel[k * wide] = row < state->rows ? state->x[row * state->inner + k] : 0;
    }
}

static void many_rows_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    (void)worker;
    size_t wide = 2 * state->engine->lanes, inner = state->inner;
    size_t first = unit % state->blocks * state->block, panel = unit / state->blocks;
    size_t stop = lesser(first + state->block, state->outputs);
    size_t columns = lesser(wide, state->rows - panel * wide);
    const float *packed = state->packed + panel * inner * wide;
    float sums[MOST_BLOCK * MOST_COLUMNS];
    for (size_t at = 0; at < inner; at += DEPTH)
        for (size_t output = first; output < stop; output += OUTPUTS)
            state->engine->rows_by_panel((unsigned)lesser(OUTPUTS, stop - output),
                                         columns > state->engine->lanes ? 2 : 1,
                                         lesser(DEPTH, inner - at),
                                         state->weights + output * inner + at, inner,
                                         packed + at * wide, sums + (output - first) * wide, at > 0);
    for (size_t c = 0; c < columns; c++)
        for (size_t output = first; output < stop; output++)
            finish_sum(state, panel * wide + c, output, sums[(output - first) * wide + c]);
}

size_t cm_dense_space(const cm_engine *engine, size_t rows, size_t inner) {
    size_t wide = 2 * engine->lanes;
    return rows <= FEW_ROWS ? 0 : ceil_div(rows, wide) * wide * inner;
}

void cm_dense_run(const cm_engine *engine, unsigned threads, size_t rows, size_t inner,
                  size_t outputs, const float *weights, const float *x, float *y,
                  const cm_finish *finish, float *space) {
    run_state state = {engine, rows, inner, outputs, 0, 0, weights, x, y, space, finish};
    size_t step = rows <= FEW_ROWS ? DOT_OUTPUTS : OUTPUTS;
    size_t share = ceil_div(ceil_div(outputs, threads * UNITS_PER_THREAD), step) * step;
    state.block = lesser(share, MOST_BLOCK);
    state.blocks = ceil_div(outputs, state.block);
    if (rows <= FEW_ROWS) {
        cm_pool_run(threads, state.blocks, few_rows_unit, &state);
        return;
    }
    cm_pool_run(threads, ceil_div(inner, PACKED), pack_unit, &state);
    size_t panels = ceil_div(rows, 2 * (size_t)engine->lanes);
    cm_pool_run(threads, state.blocks * panels, many_rows_unit, &state);
}
