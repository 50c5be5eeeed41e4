#include "cm_int8.h"

#include <string.h>

#include "cm_int8_copy.h"
#include "cm_pool.h"

/* Words of the copied images: about 8 MB. */
#define COPY_WORDS ((size_t)1 << 21)
/* Between panels, so that they do not fall on the same cache lines. */
#define SKEW 16
#define MOST_TILE (14 * 32)

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

static size_t even(size_t n) { return n + n % 2; }

cm_status cm_int8_plan(cm_int8 *plan, const cm_geometry *geometry, const cm_int8_grid *grid,
                       const cm_engine *engine, unsigned threads) {
    cm_geometry quads = *geometry;
    memset(plan, 0, sizeof *plan);
    cm_status status = cm_conv_plan(&plan->conv, geometry, engine, 1);
    size_t inner = plan->conv.inner;
    cm_conv_free(&plan->conv);
    if (status) return status;
    if (inner > CM_INT8_INNER || grid->zero < 0 || grid->zero > CM_INT8_LEVELS) return CM_ARGUMENT;
    plan->images = geometry->images;
    plan->channels = geometry->channels;
    plan->grid = *grid;
    quads.channels = ceil_div(geometry->channels, 4);
    size_t words = quads.groups * quads.channels * geometry->size[0] * geometry->size[1] *
                   geometry->size[2];
    quads.images = lesser(geometry->images, greater(COPY_WORDS / words, 1));
    status = cm_conv_plan(&plan->conv, &quads, engine, threads);
    if (status) return status;
    plan->conv.depth = ceil_div(plan->conv.depth, 4) * 4;
    plan->inner = even(plan->conv.inner);
    plan->panels = ceil_div(quads.outputs, engine->rows);
    return CM_OK;
}

void cm_int8_free(cm_int8 *plan) { cm_conv_free(&plan->conv); }

static size_t copy_words(const cm_int8 *plan) {
    const cm_conv *conv = &plan->conv;
    return ceil_div(conv->chunk * conv->g.groups * conv->g.channels * conv->plane, 16) * 16;
}

static size_t panel_words(const cm_conv *conv) {
    return conv->depth * 2 * conv->engine->lanes + SKEW;
}

/* Bytes of what one thread needs: panels of columns, then where they come from. */
static size_t thread_bytes(const cm_conv *conv) {
    size_t columns = 2 * conv->engine->lanes, vectors = conv->width / conv->engine->lanes;
    size_t bytes = conv->width / columns * panel_words(conv) * sizeof(uint32_t) +
                   vectors * sizeof(cm_lanes) + conv->width * sizeof(cm_piece);
    return ceil_div(bytes, 64) * 64;
}

size_t cm_int8_space(const cm_int8 *plan) {
    return copy_words(plan) + plan->conv.threads * thread_bytes(&plan->conv) / sizeof(float);
}

size_t cm_int8_bytes(size_t groups, size_t outputs, size_t channels, size_t taps) {
    return groups * outputs * even(ceil_div(channels, 4) * taps) * 4;
}

size_t cm_int8_panels(const cm_engine *engine, size_t groups, size_t outputs) {
    return groups * ceil_div(outputs, engine->rows);
}

/* The quad at a step of a row of weights. */
static void take_quad(const int8_t *row, size_t channels, size_t taps, size_t step, int8_t *quad) {
    size_t first = step / taps * 4;
    for (size_t c = 0; c < 4; c++)
        quad[c] = first + c < channels ? row[(first + c) * taps + step % taps] : 0;
}

/* Whether a sum of pairs of products of so many quads can leave 16 bits. */
static int saturates(const int8_t *quads, size_t count) {
    for (size_t half = 0; half < 4; half += 2) {
        int least = 0, most = 0;
        for (size_t i = half; i < 4 * count; i += i % 2 ? 3 : 1) {
            if (quads[i] < 0) least += quads[i];
            else most += quads[i];
        }
        if (most * CM_INT8_LEVELS > INT16_MAX || least * CM_INT8_LEVELS < INT16_MIN) return 1;
    }
    return 0;
}

/* The quad whose weights are the largest. */
static size_t largest(const int8_t *quads, size_t count) {
    size_t found = 0;
    int most = -1;
    for (size_t q = 0; q < count; q++) {
        int size = 0;
        for (size_t i = 4 * q; i < 4 * q + 4; i++) size += quads[i] < 0 ? -quads[i] : quads[i];
        if (size > most) {
            most = size;
            found = q;
        }
    }
    return found;
}

typedef struct {
    cm_int8_extra *list; /* or NULL: only counted */
    size_t count;
} taken_out;

/* Takes quads out until none of the sums can leave 16 bits. */
static void take_out(int8_t *quads, size_t count, size_t step, size_t row, taken_out *extras) {
    while (saturates(quads, count)) {
        size_t q = largest(quads, count);
        if (extras->list) {
            cm_int8_extra *extra = extras->list + extras->count;
            extra->step = (int32_t)(step + q);
            extra->row = (int32_t)row;
            memcpy(extra->weights, quads + 4 * q, 4);
        }
        extras->count++;
        memset(quads + 4 * q, 0, 4);
    }
}

size_t cm_int8_pack(const cm_engine *engine, size_t groups, size_t outputs, size_t channels,
                    size_t taps, int deep, const int8_t *weights, int8_t *packed,
                    cm_int8_extra *extras, int64_t *starts) {
    size_t panels = ceil_div(outputs, engine->rows), inner = ceil_div(channels, 4) * taps;
    taken_out taken = {extras, 0};
    for (size_t group = 0; group < groups; group++)
        for (size_t p = 0; p < panels; p++) {
            size_t first = cm_panel_first(p, outputs, panels);
            size_t rows = cm_panel_first(p + 1, outputs, panels) - first;
            const int8_t *source = weights + (group * outputs + first) * channels * taps;
            int8_t *target = packed + (group * outputs + first) * even(inner) * 4;
            if (extras) starts[group * panels + p] = (int64_t)taken.count;
            for (size_t k = 0; k < inner; k += 4)
                for (size_t r = 0; r < rows; r++) {
                    int8_t quads[16] = {0};
                    size_t count = lesser(4, even(inner - k));
                    for (size_t q = 0; q < lesser(4, inner - k); q++)
                        take_quad(source + r * channels * taps, channels, taps, k + q,
                                  quads + 4 * q);
                    if (deep) {
                        take_out(quads, count, k, r, &taken);
                    } else {
                        take_out(quads, 2, k, r, &taken);
                        take_out(quads + 8, 2, k + 2, r, &taken);
                    }
                    if (!extras) continue;
                    memcpy(target, quads, 4 * count);
                    target += 4 * count;
                }
        }
    if (extras) starts[groups * panels] = (int64_t)taken.count;
    return taken.count;
}

typedef struct {
    const cm_int8 *plan;
    const cm_int8_weights *weights;
    const uint32_t *copy;
    float *y;
    char *threads;
    const cm_finish *finish;
    size_t images, tiles; /* of this chunk */
} run_state;

typedef struct {
    size_t group, first, end; /* columns */
    size_t begin, depth;      /* rows of columns */
    const uint32_t *panels;
} packed_columns;

/* One panel of weights. */
typedef struct {
    size_t row; /* the first, of all groups */
    unsigned rows;
    const int8_t *a;
    cm_int8_extras extras;
} packed_rows;

/* One tile whose columns do not lie side by side in y, or of which y has only some. */
static void compute_apart(const run_state *state, const packed_columns *columns,
                          const packed_rows *rows, size_t column, const uint32_t *b,
                          const cm_int8_finish *finish) {
    const cm_conv *conv = &state->plan->conv;
    size_t wide = 2 * conv->engine->lanes, width = lesser(wide, columns->end - column);
    float tile[MOST_TILE], residual[MOST_TILE];
    cm_int8_finish own;
    int accumulate = columns->begin > 0;
    if (accumulate)
        cm_conv_move_tile(conv, rows->row, rows->rows, column, width, state->y, tile, 0);
    if (finish) {
        own = *finish;
        if (state->finish->residual) {
            cm_conv_move_tile(conv, rows->row, rows->rows, column, width,
                              (float *)(uintptr_t)state->finish->residual, residual, 0);
            own.then.residual = residual;
        }
        finish = &own;
    }
    conv->engine->int8_tile(rows->rows, width > conv->engine->lanes ? 2 : 1,
                            even(columns->depth), rows->a, b, tile, (ptrdiff_t)wide, accumulate,
                            &rows->extras, finish);
    cm_conv_move_tile(conv, rows->row, rows->rows, column, width, state->y, tile, 1);
}

/* The extras of a panel at these rows of columns. */
static cm_int8_extras find_extras(const run_state *state, const packed_columns *columns,
                                  size_t panel) {
    const cm_int8_weights *w = state->weights;
    const cm_int8_extra *list = w->extras + w->starts[columns->group * state->plan->panels + panel];
    const cm_int8_extra *end =
        w->extras + w->starts[columns->group * state->plan->panels + panel + 1];
    cm_int8_extras found = {list, 0, columns->begin, w->deep};
    while (found.list < end && (size_t)found.list->step < columns->begin) found.list++;
    while (found.list + found.count < end &&
           (size_t)found.list[found.count].step < columns->begin + columns->depth)
        found.count++;
    return found;
}

/* All columns of the unit by one panel of weights. */
static void compute_panel(const run_state *state, const packed_columns *columns, size_t panel) {
    const cm_int8 *plan = state->plan;
    const cm_conv *conv = &plan->conv;
    const cm_geometry *g = &conv->g;
    size_t wide = 2 * conv->engine->lanes, first = cm_panel_first(panel, g->outputs, plan->panels);
    packed_rows rows = {.row = columns->group * g->outputs + first};
    rows.rows = (unsigned)(cm_panel_first(panel + 1, g->outputs, plan->panels) - first);
    rows.a = state->weights->packed + (rows.row * plan->inner + columns->begin * rows.rows) * 4;
    rows.extras = find_extras(state, columns, panel);
    int last = columns->begin + columns->depth == conv->inner;
    cm_int8_finish finish = {state->weights->offsets + rows.row, *state->finish};
    finish.then.scale += rows.row;
    finish.then.bias += rows.row;
    const uint32_t *b = columns->panels;
    for (size_t n = columns->first; n < columns->end; n += wide, b += panel_words(conv)) {
        size_t image = n / conv->positions, at = n % conv->positions;
        if (at + wide > conv->positions || n + wide > columns->end) {
            compute_apart(state, columns, &rows, n, b, last ? &finish : NULL);
            continue;
        }
        size_t place = (image * g->groups * g->outputs + rows.row) * conv->positions + at;
        if (state->finish->residual) finish.then.residual = state->finish->residual + place;
        conv->engine->int8_tile(rows.rows, 2, even(columns->depth), rows.a, b,
                                state->y + place, (ptrdiff_t)conv->positions, columns->begin > 0,
                                &rows.extras, last ? &finish : NULL);
    }
}

static void compute_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    const cm_int8 *plan = state->plan;
    const cm_conv *conv = &plan->conv;
    const cm_geometry *g = &conv->g;
    size_t lanes = conv->engine->lanes, vectors = conv->width / lanes;
    size_t block = unit % conv->blocks, tile = unit / conv->blocks % state->tiles;
    char *own = state->threads + worker * thread_bytes(conv);
    uint32_t *panels = (uint32_t *)(void *)own;
    cm_lanes *where =
        (cm_lanes *)(void *)(own + vectors / 2 * panel_words(conv) * sizeof(uint32_t));
    packed_columns columns = {.group = unit / (conv->blocks * state->tiles),
                              .first = tile * conv->width,
                              .end = lesser((tile + 1) * conv->width,
                                            state->images * conv->positions),
                              .panels = panels};
    size_t count = cm_conv_find_lanes(conv, columns.first, columns.end, where,
                                      (cm_piece *)(void *)(where + vectors));
    for (; columns.begin < conv->inner; columns.begin += columns.depth) {
        columns.depth = lesser(conv->depth, conv->inner - columns.begin);
        cm_patches patches = {
            (const float *)(const void *)(state->copy + columns.group * g->channels * conv->plane),
            conv->plane,
            conv->taps,
            conv->tap_count,
            columns.begin,
            columns.depth};
        conv->engine->pack(&patches, where, count, (float *)(void *)panels, panel_words(conv));
        /* The last pair of steps may have one only. */
        if (columns.depth % 2)
            for (size_t p = 0; p < count / 2; p++)
                memset(panels + p * panel_words(conv) + columns.depth * 2 * lanes, 0,
                       2 * lanes * sizeof *panels);
        size_t end = (block + 1) * plan->panels / conv->blocks;
        for (size_t p = block * plan->panels / conv->blocks; p < end; p++)
            compute_panel(state, &columns, p);
    }
}

void cm_int8_run(const cm_int8 *plan, const cm_int8_weights *weights, const float *x, float *y,
                 const cm_finish *finish, float *space) {
    const cm_conv *conv = &plan->conv;
    const cm_geometry *g = &conv->g;
    cm_finish moved = *finish;
    uint32_t *copy = (uint32_t *)(void *)space;
    run_state state = {.plan = plan, .weights = weights, .copy = copy, .y = y, .finish = &moved};
    state.threads = (char *)(void *)(space + copy_words(plan));
    size_t outputs = g->groups * g->outputs;
    for (size_t image = 0; image < plan->images; image += state.images) {
        state.images = lesser(conv->chunk, plan->images - image);
        cm_int8_copy(plan, state.images, x, copy);
        state.tiles = ceil_div(state.images * conv->positions, conv->width);
        cm_pool_run(conv->threads, g->groups * state.tiles * conv->blocks, compute_unit, &state);
        x += state.images * g->groups * plan->channels * conv->volume;
        state.y += state.images * outputs * conv->positions;
        if (moved.residual) moved.residual += state.images * outputs * conv->positions;
    }
}
