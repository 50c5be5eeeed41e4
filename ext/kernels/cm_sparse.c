#include "cm_sparse.h"

#include <stdlib.h>
#include <string.h>

#include "cm_pool.h"

/* Units for each thread, so that one that is held up does not hold up the rest. */
#define UNITS_PER_THREAD 4
/* Most floats of a tile: rows of results times vectors. */
#define MOST_TILE (4 * 12 * 16)
#define MOST_VECTORS 12
/* Behind the copy, which vectors of a narrow row are read from. */
#define SLACK 16

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

/* Cuts a row of positions into vectors, the last of which overlaps the one before it. */
static void plan_row(cm_sparse *s, ptrdiff_t place, size_t target, size_t width, size_t *count) {
    size_t lanes = s->conv.engine->lanes;
    for (size_t at = 0; at < width; at += lanes, ++*count) {
        size_t begin = at + lanes > width && width >= lanes ? width - lanes : at;
        s->places[*count] = place + (ptrdiff_t)begin;
        s->targets[*count] = (ptrdiff_t)(target + begin);
    }
}

static void plan_vectors(cm_sparse *s) {
    const cm_conv *conv = &s->conv;
    const cm_geometry *g = &conv->g;
    size_t count = 0;
    if (s->flat) {
        plan_row(s, 0, 0, conv->positions, &count);
        return;
    }
    for (size_t d = 0; d < g->out[0]; d++)
        for (size_t h = 0; h < g->out[1]; h++)
            plan_row(s,
                     (ptrdiff_t)((d * g->stride[0] * conv->extent[1] + h * g->stride[1]) *
                                 conv->extent[2]),
                     (d * g->out[1] + h) * g->out[2], g->out[2], &count);
}

cm_status cm_sparse_plan(cm_sparse *s, const cm_geometry *geometry, const cm_engine *engine,
                         unsigned rows, unsigned threads) {
    memset(s, 0, sizeof *s);
    cm_status status = cm_conv_plan(&s->conv, geometry, engine, threads);
    if (status) return status;
    const cm_conv *conv = &s->conv;
    const cm_geometry *g = &conv->g;
    s->flat = !conv->copied && conv->tap_count == 1;
    size_t width = s->flat ? conv->positions : g->out[2];
    size_t height = s->flat ? 1 : g->out[0] * g->out[1];
    if ((rows != 1 && rows != 4) || g->outputs % rows || g->channels > INT32_MAX / conv->plane ||
        (width < engine->lanes && !conv->copied)) {
        cm_sparse_free(s);
        return CM_ARGUMENT;
    }
    s->rows = rows;
    s->vector_count = height * ceil_div(width, engine->lanes);
    size_t most = rows == 1 ? engine->sparse_one : engine->sparse_four;
    s->tiles = ceil_div(s->vector_count, most);
    s->vectors = (unsigned)ceil_div(s->vector_count, s->tiles);
    s->tiles = ceil_div(s->vector_count, s->vectors);
    s->row_blocks = g->outputs / rows;
    size_t wanted = threads > 1 ? threads * UNITS_PER_THREAD : 1;
    s->parts = lesser(ceil_div(wanted, g->groups * g->images), s->row_blocks);
    s->places = malloc(s->vector_count * sizeof *s->places);
    s->targets = malloc(s->vector_count * sizeof *s->targets);
    if (!s->places || !s->targets) {
        cm_sparse_free(s);
        return CM_MEMORY;
    }
    plan_vectors(s);
    return CM_OK;
}

void cm_sparse_free(cm_sparse *s) {
    cm_conv_free(&s->conv);
    free(s->places);
    free(s->targets);
    s->places = s->targets = NULL;
}

size_t cm_sparse_space(const cm_sparse *s) {
    return s->conv.copied ? cm_conv_copy_floats(&s->conv) + SLACK : 0;
}

int32_t cm_sparse_offset(const cm_sparse *s, size_t column) {
    const cm_conv *conv = &s->conv;
    return (int32_t)(column / conv->tap_count * conv->plane) +
           (int32_t)conv->taps[column % conv->tap_count];
}

typedef struct {
    const cm_sparse *sparse;
    const int64_t *starts;
    const int32_t *offsets;
    const float *weights, *source;
    float *y;
    const cm_finish *finish;
} run_state;

/* A tile whose vectors are wider than what y has of them: by way of a tile of its own. */
static void compute_narrow(const run_state *state, const cm_sparse_row *row, const float *source,
                           size_t first, unsigned vectors, float *y, const cm_finish *finish) {
    const cm_sparse *s = state->sparse;
    size_t lanes = s->conv.engine->lanes, width = s->conv.g.out[2], step = vectors * lanes;
    float tile[MOST_TILE], residual[MOST_TILE];
    ptrdiff_t targets[MOST_VECTORS];
    cm_finish own = *finish;
    for (unsigned v = 0; v < vectors; v++) targets[v] = (ptrdiff_t)(v * lanes);
    if (finish->residual) {
        memset(residual, 0, sizeof residual);
        for (unsigned r = 0; r < s->rows; r++)
            for (unsigned v = 0; v < vectors; v++)
                memcpy(residual + r * step + v * lanes,
                       finish->residual + r * s->conv.positions + s->targets[first + v],
                       width * sizeof(float));
        own.residual = residual;
    }
    s->conv.engine->sparse(s->rows, vectors, 0, row, source, s->places + first, tile, targets, step,
                           &own);
    for (unsigned r = 0; r < s->rows; r++)
        for (unsigned v = 0; v < vectors; v++)
            memcpy(y + r * s->conv.positions + s->targets[first + v], tile + r * step + v * lanes,
                   width * sizeof(float));
}

/* The vectors of one tile of one image by one block of rows. */
static void compute_block(const run_state *state, size_t image, size_t block, size_t tile) {
    const cm_sparse *s = state->sparse;
    const cm_conv *conv = &s->conv;
    const cm_geometry *g = &conv->g;
    size_t first = tile * s->vectors, group = block / s->row_blocks, output = block * s->rows;
    unsigned vectors = (unsigned)lesser(s->vectors, s->vector_count - first);
    size_t start = (size_t)state->starts[block];
    cm_sparse_row row = {(size_t)state->starts[block + 1] - start, state->offsets + start,
                         state->weights + start * s->rows};
    const float *source =
        state->source + (image * g->groups + group) * g->channels * conv->plane;
    size_t place = (image * g->groups * g->outputs + output) * conv->positions;
    cm_finish finish = *state->finish;
    if (finish.scale) finish.scale += output;
    if (finish.bias) finish.bias += output;
    if (finish.residual) finish.residual += place;
    float *y = state->y + place;
    if (!s->flat && g->out[2] < conv->engine->lanes) {
        compute_narrow(state, &row, source, first, vectors, y, &finish);
        return;
    }
    /* The last vector of all positions overlaps the one before it. */
    int flat = s->flat && s->places[first + vectors - 1] - s->places[first] ==
                              (ptrdiff_t)((vectors - 1) * conv->engine->lanes);
    conv->engine->sparse(s->rows, vectors, flat, &row, source, s->places + first, y,
                         s->targets + first, conv->positions, &finish);
}

/* Some rows at all positions: vectors overlap, so two threads may not share a row of results. */
static void compute_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    const cm_sparse *s = state->sparse;
    (void)worker;
    size_t part = unit % s->parts, group = unit / s->parts % s->conv.g.groups;
    size_t image = unit / s->parts / s->conv.g.groups;
    size_t begin = part * s->row_blocks / s->parts, end = (part + 1) * s->row_blocks / s->parts;
    for (size_t tile = 0; tile < s->tiles; tile++)
        for (size_t block = begin; block < end; block++)
            compute_block(state, image, group * s->row_blocks + block, tile);
}

void cm_sparse_run(const cm_sparse *s, const int64_t *starts, const int32_t *offsets,
                   const float *weights, const float *x, float *y, const cm_finish *finish,
                   float *space) {
    const cm_conv *conv = &s->conv;
    const cm_geometry *g = &conv->g;
    cm_finish moved = *finish;
    run_state state = {s, starts, offsets, weights, x, y, &moved};
    size_t channels = g->groups * g->channels, results = g->groups * g->outputs * conv->positions;
    for (size_t image = 0; image < g->images; image += conv->chunk) {
        size_t images = lesser(conv->chunk, g->images - image);
        if (conv->copied) {
            cm_conv_copy(conv, images * channels, x + image * channels * conv->volume, space);
            memset(space + images * channels * conv->plane, 0, SLACK * sizeof *space);
            state.source = space;
        }
        cm_pool_run(conv->threads, images * g->groups * s->parts, compute_unit, &state);
        state.y += images * results;
        if (moved.residual) moved.residual += images * results;
    }
}
