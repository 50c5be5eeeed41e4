#include "cm_coded.h"

#include <string.h>

#include "cm_pool.h"

/* Products of one unit at least, and units for each thread. */
#define LEAST_UNIT 16384
#define UNITS_PER_THREAD 4
/* Rows of x in a panel: up to 4 vectors of 16. */
#define MOST_WIDE 64
/* Columns that one unit packs. */
#define PACKED 512
/* Weights whose indices are packed together: see cm_table.h. */
#define BLOCK 32

typedef struct {
    const cm_engine *engine;
    size_t rows, block, blocks; /* of x; outputs of a unit */
    unsigned vectors;           /* of a panel; 0: no panels */
    const cm_coded *matrix;
    const float *x;
    float *y, *panels;
    const cm_finish *finish;
} run_state;

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

size_t cm_coded_bytes(size_t outputs, size_t inner) {
    return outputs * ceil_div(inner, BLOCK) * (BLOCK / 2);
}

void cm_coded_pack(size_t outputs, size_t inner, const uint8_t *indices, uint8_t *packed) {
    for (size_t o = 0; o < outputs; o++) {
        size_t i = 0;
        /* Eight at a time: the second four go into the upper halves of the first four's bytes. */
        for (; i + 8 <= inner; i += 8, indices += 8, packed += 4) {
            uint32_t low, high;
            memcpy(&low, indices, sizeof low);
            memcpy(&high, indices + 4, sizeof high);
            low |= high << 4;
            memcpy(packed, &low, sizeof low);
        }
        size_t rest = cm_coded_bytes(1, inner) - i / 2;
        memset(packed, 0, rest);
        for (size_t j = 0; j < inner - i; j++)
            packed[j % 4] |= (uint8_t)(*indices++ << (j < 4 ? 0 : 4));
        packed += rest;
    }
}

/* Vectors of a panel: as few as hold the rows. */
static unsigned vectors_for(const cm_engine *engine, size_t rows, const cm_coded *matrix) {
    if (rows == 1 || !matrix->columns) return 0;
    return rows <= engine->lanes ? 1 : rows <= 2 * engine->lanes ? 2 : 4;
}

static void finish_sum(const run_state *state, size_t row, size_t output, float sum) {
    const cm_finish *f = state->finish;
    size_t place = row * state->matrix->outputs + output;
    if (f->scale) sum *= f->scale[output];
    if (f->bias) sum += f->bias[output];
    if (f->residual) sum += f->residual[place];
    if (f->rectify && sum < 0) sum = f->slope == 0 ? 0 : sum * f->slope;
    state->y[place] = sum;
}

static void rows_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    (void)worker;
    size_t stop = lesser((unit + 1) * state->block, state->matrix->outputs);
    for (size_t output = unit * state->block; output < stop; output++) {
        float sums[CM_CODED_ROWS];
        state->engine->coded(state->matrix, output, (unsigned)state->rows, state->x, sums);
        for (size_t row = 0; row < state->rows; row++) finish_sum(state, row, output, sums[row]);
    }
}

/* Packs some columns of x into every panel: [panel][column of x][row of x]. */
static void pack_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    (void)worker;
    size_t wide = state->vectors * state->engine->lanes, inner = state->matrix->inner;
    size_t end = lesser((unit + 1) * PACKED, inner);
    for (size_t row = 0; row < ceil_div(state->rows, wide) * wide; row++) {
        float *panel = state->panels + row / wide * inner * wide + row % wide;
        for (size_t k = unit * PACKED; k < end; k++)
            panel[k * wide] = row < state->rows ? state->x[row * inner + k] : 0;
    }
}

static void panel_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    (void)worker;
    size_t wide = state->vectors * state->engine->lanes;
    size_t first = unit % state->blocks * state->block, panel = unit / state->blocks;
    size_t stop = lesser(first + state->block, state->matrix->outputs);
    size_t rows = lesser(wide, state->rows - panel * wide);
    const float *packed = state->panels + panel * state->matrix->inner * wide;
    for (size_t output = first; output < stop; output++) {
        float sums[MOST_WIDE];
        state->engine->coded_panel(state->matrix, output, state->vectors, packed, sums);
        for (size_t r = 0; r < rows; r++) finish_sum(state, panel * wide + r, output, sums[r]);
    }
}

size_t cm_coded_space(const cm_engine *engine, size_t rows, const cm_coded *matrix) {
    size_t wide = vectors_for(engine, rows, matrix) * engine->lanes;
    return wide ? ceil_div(rows, wide) * wide * matrix->inner : 0;
}

void cm_coded_run(const cm_engine *engine, unsigned threads, size_t rows, const cm_coded *matrix,
                  const float *x, float *y, const cm_finish *finish, float *space) {
    size_t stored = matrix->columns ? (size_t)matrix->starts[matrix->outputs]
                                    : matrix->outputs * matrix->inner;
    size_t wanted = lesser(stored / LEAST_UNIT + 1, (size_t)threads * UNITS_PER_THREAD);
    run_state state = {engine, rows, ceil_div(matrix->outputs, wanted), 0,
                       vectors_for(engine, rows, matrix), matrix, x, y, space, finish};
    state.blocks = ceil_div(matrix->outputs, state.block);
    if (!state.vectors) {
        cm_pool_run(threads, state.blocks, rows_unit, &state);
        return;
    }
    cm_pool_run(threads, ceil_div(matrix->inner, PACKED), pack_unit, &state);
    size_t panels = ceil_div(rows, state.vectors * (size_t)engine->lanes);
    cm_pool_run(threads, state.blocks * panels, panel_unit, &state);
}
