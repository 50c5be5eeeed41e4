#include "cm_conv.h"

#include <stdlib.h>
#include <string.h>

#include "cm_pool.h"

/* Floats of a unit's packed columns: 192 KB, which a usual second-level cache holds besides more. */
#define UNIT_FLOATS 49152
/* Rows of columns packed at a time: a panel of them stays in the first-level cache. */
#define MOST_DEPTH 320
/* Panels that a unit has at least, where it is for the memory alone, and at most. */
#define LEAST_PANELS 6
#define MOST_PANELS 32
/* Floats of the copied images: about 8 MB. */
#define COPY_FLOATS ((size_t)1 << 21)
/* Units for each thread, so that one that is held up does not hold up the rest. */
#define UNITS_PER_THREAD 4
/* Sizes of arrays stay below this, so that no product of two of them overflows. */
#define MOST_FLOATS ((size_t)1 << 40)
/* Between panels, so that they do not fall on the same cache lines. */
#define SKEW 16

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

/* Multiplies; 0 where it gets too large. */
static size_t product(const size_t *factors, size_t count) {
    size_t result = 1;
    for (size_t i = 0; i < count; i++) {
        if (!factors[i] || factors[i] > MOST_FLOATS / result) return 0;
        result *= factors[i];
    }
    return result;
}

static int fits(const cm_geometry *g) {
    for (int i = 0; i < 3; i++) {
        if (!g->stride[i] || !g->dilation[i] || !g->kernel[i] || !g->out[i]) return 0;
        if (g->pad[i] > MOST_FLOATS || g->stride[i] > MOST_FLOATS ||
            g->dilation[i] > MOST_FLOATS || g->out[i] > MOST_FLOATS / g->stride[i] ||
            g->kernel[i] > MOST_FLOATS / g->dilation[i])
            return 0;
        /* The last position may not look beyond the padding. */
        if ((g->out[i] - 1) * g->stride[i] + (g->kernel[i] - 1) * g->dilation[i] + 1 >
            g->size[i] + 2 * g->pad[i])
            return 0;
    }
    size_t all[] = {g->images, g->groups, g->channels, g->size[0], g->size[1], g->size[2]};
    size_t result[] = {g->images, g->groups, g->outputs, g->out[0], g->out[1], g->out[2]};
    size_t matrix[] = {g->groups,    g->outputs,   g->channels,
                       g->kernel[0], g->kernel[1], g->kernel[2]};
    return product(all, 6) && product(result, 6) && product(matrix, 6);
}

/* Chooses what the panels are packed from. */
static int plan_source(cm_conv *conv) {
    const cm_geometry *g = &conv->g;
    conv->copied = g->pad[0] || g->pad[1] || g->pad[2] || g->stride[2] > 1;
    conv->phase = g->size[2];
    if (conv->copied) {
        for (int i = 0; i < 3; i++)
            conv->extent[i] =
                (g->out[i] - 1) * g->stride[i] + (g->kernel[i] - 1) * g->dilation[i] + 1;
        conv->phase = ceil_div(conv->extent[2], g->stride[2]);
        conv->extent[2] = conv->phase * g->stride[2];
    } else {
        memcpy(conv->extent, g->size, sizeof conv->extent);
    }
    size_t image[] = {g->groups, g->channels, conv->extent[0], conv->extent[1], conv->extent[2]};
    size_t floats = product(image, 5);
    if (!floats) return 0;
    conv->plane = product(conv->extent, 3);
    conv->chunk = g->images;
    if (conv->copied) conv->chunk = lesser(greater(COPY_FLOATS / floats, 1), g->images);
    return 1;
}

static void plan_taps(cm_conv *conv) {
    const cm_geometry *g = &conv->g;
    size_t row = conv->extent[2], n = 0;
    for (size_t d = 0; d < g->kernel[0]; d++)
        for (size_t h = 0; h < g->kernel[1]; h++)
            for (size_t w = 0; w < g->kernel[2]; w++) {
                size_t column = w * g->dilation[2], stride = conv->copied ? g->stride[2] : 1;
                conv->taps[n++] =
                    (ptrdiff_t)((d * g->dilation[0] * conv->extent[1] + h * g->dilation[1]) * row +
                                column % stride * conv->phase + column / stride);
            }
}

static void plan_units(cm_conv *conv) {
    const cm_geometry *g = &conv->g;
    size_t columns = 2 * conv->engine->lanes, all = conv->chunk * conv->positions;
    size_t panels = ceil_div(g->outputs, conv->engine->rows);
    size_t wanted = conv->threads > 1 ? conv->threads * UNITS_PER_THREAD : 1;
    conv->depth = ceil_div(conv->inner, ceil_div(conv->inner, MOST_DEPTH));
    size_t width = UNIT_FLOATS / conv->depth / columns;
    width = columns * lesser(greater(width, LEAST_PANELS), MOST_PANELS);
    size_t least = lesser(width, LEAST_PANELS * columns);
    size_t share = ceil_div(all * g->groups, wanted);
    width = lesser(width, greater(share, least));
    size_t tiles = ceil_div(all, width);
    conv->width = ceil_div(ceil_div(all, tiles), columns) * columns;
    tiles = ceil_div(all, conv->width);
    conv->blocks = lesser(ceil_div(wanted, tiles * g->groups), panels);
    if (conv->blocks > 1)
        conv->slices = lesser(ceil_div(wanted, tiles * g->groups), conv->inner);
}

cm_status cm_conv_plan(cm_conv *conv, const cm_geometry *geometry, const cm_engine *engine,
                       unsigned threads) {
    memset(conv, 0, sizeof *conv);
    if (!fits(geometry)) return CM_ARGUMENT;
    const cm_geometry *g = &conv->g;
    conv->g = *geometry;
    conv->engine = engine;
    conv->threads = threads ? threads : 1;
    conv->positions = product(g->out, 3);
    conv->volume = product(g->size, 3);
    conv->tap_count = product(g->kernel, 3);
    conv->inner = g->channels * conv->tap_count;
    conv->depthwise = g->channels == 1 && g->outputs == 1 && g->groups > 1;
    if (!plan_source(conv)) return CM_ARGUMENT;
    plan_units(conv);
    conv->taps = malloc(conv->tap_count * sizeof *conv->taps);
    if (!conv->taps) return CM_MEMORY;
    plan_taps(conv);
    return CM_OK;
}

void cm_conv_free(cm_conv *conv) {
    free(conv->taps);
    conv->taps = NULL;
}

/* Floats between two panels of columns. */
static size_t panel_floats(const cm_conv *conv) {
    size_t rows = conv->slices ? conv->inner : conv->depth;
    return rows * 2 * conv->engine->lanes + SKEW;
}

/* Floats of the panels of a unit. */
static size_t panels_floats(const cm_conv *conv) {
    return conv->width / (2 * conv->engine->lanes) * panel_floats(conv);
}

/* Floats of the panels that all units share. */
static size_t shared_floats(const cm_conv *conv) {
    if (!conv->slices) return 0;
    size_t tiles = ceil_div(conv->chunk * conv->positions, conv->width);
    return ceil_div(conv->g.groups * tiles * panels_floats(conv), 16) * 16;
}

/* Bytes of what one thread needs: where columns come from, behind panels that are its own. */
static size_t thread_bytes(const cm_conv *conv) {
    size_t vectors = conv->width / conv->engine->lanes;
    size_t bytes = vectors * sizeof(cm_lanes) + conv->width * sizeof(cm_piece);
    if (!conv->slices) bytes += panels_floats(conv) * sizeof(float);
    return ceil_div(bytes, 64) * 64;
}

size_t cm_conv_space(const cm_conv *conv) {
    if (conv->depthwise) return cm_depthwise_space(conv);
    return cm_conv_copy_floats(conv) + shared_floats(conv) +
           conv->threads * thread_bytes(conv) / sizeof(float);
}

void cm_conv_pack(const cm_engine *engine, size_t groups, size_t outputs, size_t inner,
                  const float *weights, float *packed) {
    size_t panels = ceil_div(outputs, engine->rows);
    for (size_t group = 0; group < groups; group++)
        for (size_t p = 0; p < panels; p++) {
            size_t first = cm_panel_first(p, outputs, panels);
            size_t rows = cm_panel_first(p + 1, outputs, panels) - first;
            const float *source = weights + (group * outputs + first) * inner;
            float *target = packed + (group * outputs + first) * inner;
            for (size_t k = 0; k < inner; k++)
                for (size_t r = 0; r < rows; r++) *target++ = source[r * inner + k];
        }
}

typedef struct {
    const cm_conv *conv;
    const float *packed, *x, *source;
    float *y, *copy, *shared;
    char *threads;
    const cm_finish *finish;
    size_t images;        /* of this chunk */
    size_t tiles;
} run_state;

/* Offset in the source, from the first channel of the first image, of a column. */
static ptrdiff_t offset_of(const cm_conv *conv, size_t column) {
    const cm_geometry *g = &conv->g;
    size_t image = column / conv->positions, at = column % conv->positions;
    size_t w = at % g->out[2], h = at / g->out[2] % g->out[1], d = at / g->out[2] / g->out[1];
    return (ptrdiff_t)(image * g->groups * g->channels * conv->plane +
                       (d * g->stride[0] * conv->extent[1] + h * g->stride[1]) * conv->extent[2] +
                       w);
}

size_t cm_conv_find_lanes(const cm_conv *conv, size_t first, size_t end, cm_lanes *vectors,
                          cm_piece *pieces) {
    size_t lanes = conv->engine->lanes, row = conv->g.out[2], count = 0;
    for (size_t column = first; column < end || count % 2; column += lanes, count++) {
        cm_lanes *vector = vectors + count;
        *vector = (cm_lanes){0, pieces, 0};
        if (column < end && column % row + lanes <= row && column + lanes <= end) {
            vector->offset = offset_of(conv, column);
            continue;
        }
        size_t lane = 0;
        do {
            cm_piece *piece = pieces++;
            memset(piece, 0, sizeof *piece);
            vector->count++;
            if (column + lane >= end) break;
            size_t run = lesser(row - (column + lane) % row, lanes - lane);
            run = lesser(run, end - column - lane);
            piece->offset = offset_of(conv, column + lane) - (ptrdiff_t)lane;
            for (size_t i = 0; i < run; i++) piece->mask[lane + i] = -1;
            lane += run;
        } while (lane < lanes && column + lane < end);
    }
    return count;
}

void cm_conv_move_tile(const cm_conv *conv, size_t row, size_t rows, size_t column, size_t width,
                       float *result, float *tile, int back) {
    size_t columns = 2 * conv->engine->lanes, outputs = conv->g.groups * conv->g.outputs;
    for (size_t done = 0; done < width;) {
        size_t image = (column + done) / conv->positions, at = (column + done) % conv->positions;
        size_t run = lesser(conv->positions - at, width - done);
        float *y = result + (image * outputs + row) * conv->positions + at;
        for (size_t r = 0; r < rows; r++) {
            float *in_y = y + r * conv->positions, *in_tile = tile + r * columns + done;
            memcpy(back ? in_y : in_tile, back ? in_tile : in_y, run * sizeof(float));
        }
        done += run;
    }
}

#define MOST_TILE (14 * 32)

/* One tile whose columns do not lie side by side in y, or of which y has only some. */
static void compute_apart(const run_state *state, size_t row, unsigned rows, size_t column,
                          size_t width, size_t depth, const float *a, const float *b,
                          int accumulate, const cm_finish *finish) {
    const cm_conv *conv = state->conv;
    float tile[MOST_TILE], residual[MOST_TILE];
    cm_finish own;
    if (accumulate)
        cm_conv_move_tile(conv, row, rows, column, width, state->y, tile, 0);
    if (finish) {
        own = *finish;
        if (state->finish->residual) {
            cm_conv_move_tile(conv, row, rows, column, width,
                              (float *)(uintptr_t)state->finish->residual, residual, 0);
            own.residual = residual;
        }
        finish = &own;
    }
    conv->engine->tile(rows, width > conv->engine->lanes ? 2 : 1, depth, a, b, tile,
                       2 * conv->engine->lanes, accumulate, finish);
    cm_conv_move_tile(conv, row, rows, column, width, state->y, tile, 1);
}

typedef struct {
    size_t group, first, end; /* columns */
    size_t begin, depth;      /* rows of columns */
    const float *panels;
} packed_columns;

/* All columns of the unit by one panel of weights. */
static void compute_panel(const run_state *state, const packed_columns *columns, size_t panel,
                          size_t panel_count) {
    const cm_conv *conv = state->conv;
    const cm_geometry *g = &conv->g;
    size_t wide = 2 * conv->engine->lanes;
    size_t first = cm_panel_first(panel, g->outputs, panel_count);
    unsigned rows = (unsigned)(cm_panel_first(panel + 1, g->outputs, panel_count) - first);
    size_t row = columns->group * g->outputs + first;
    const float *a = state->packed + row * conv->inner + columns->begin * rows;
    int accumulate = columns->begin > 0, last = columns->begin + columns->depth == conv->inner;
    const cm_finish *whole = state->finish;
    cm_finish finish;
    if (last) {
        finish = *whole;
        if (whole->scale) finish.scale = whole->scale + row;
        if (whole->bias) finish.bias = whole->bias + row;
    }
    const float *b = columns->panels;
    for (size_t n = columns->first; n < columns->end; n += wide, b += panel_floats(conv)) {
        size_t image = n / conv->positions, at = n % conv->positions;
        if (at + wide > conv->positions || n + wide > columns->end) {
            compute_apart(state, row, rows, n, lesser(wide, columns->end - n), columns->depth, a,
                          b, accumulate, last ? &finish : NULL);
            continue;
        }
        size_t place = (image * g->groups * g->outputs + row) * conv->positions + at;
        if (last && whole->residual) finish.residual = whole->residual + place;
        conv->engine->tile(rows, 2, columns->depth, a, b, state->y + place,
                           (ptrdiff_t)conv->positions, accumulate, last ? &finish : NULL);
    }
}

/* Packs rows `begin` to `end` of the columns of a tile. */
static void pack_tile(const run_state *state, size_t group, size_t tile, size_t begin, size_t end,
                      char *own, float *panels) {
    const cm_conv *conv = state->conv;
    cm_lanes *where = (cm_lanes *)(void *)own;
    cm_piece *pieces = (cm_piece *)(void *)(where + conv->width / conv->engine->lanes);
    size_t first = tile * conv->width;
    size_t stop = lesser(first + conv->width, state->images * conv->positions);
    size_t count = cm_conv_find_lanes(conv, first, stop, where, pieces);
    cm_patches patches = {state->source + group * conv->g.channels * conv->plane,
                          conv->plane,
                          conv->taps,
                          conv->tap_count,
                          begin,
                          end - begin};
    conv->engine->pack(&patches, where, count, panels, panel_floats(conv));
}

static float *shared_panels(const run_state *state, size_t group, size_t tile) {
    return state->shared + (group * state->tiles + tile) * panels_floats(state->conv);
}

/* One slice of the rows of one tile, for all blocks of outputs. */
static void pack_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    const cm_conv *conv = state->conv;
    size_t slice = unit % conv->slices, tile = unit / conv->slices % state->tiles;
    size_t group = unit / conv->slices / state->tiles;
    size_t begin = slice * conv->inner / conv->slices;
    pack_tile(state, group, tile, begin, (slice + 1) * conv->inner / conv->slices,
              state->threads + worker * thread_bytes(conv),
              shared_panels(state, group, tile) + begin * 2 * conv->engine->lanes);
}

static void compute_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    const cm_conv *conv = state->conv;
    size_t block = unit % conv->blocks, tile = unit / conv->blocks % state->tiles;
    size_t panel_count = ceil_div(conv->g.outputs, conv->engine->rows);
    size_t first_panel = block * panel_count / conv->blocks;
    size_t end_panel = (block + 1) * panel_count / conv->blocks;
    char *own = state->threads + worker * thread_bytes(conv);
    float *panels = (float *)(void *)own;
    packed_columns columns = {.group = unit / (conv->blocks * state->tiles),
                              .first = tile * conv->width,
                              .end = lesser((tile + 1) * conv->width,
                                            state->images * conv->positions)};
    if (!conv->slices) own += panels_floats(conv) * sizeof(float);
    for (; columns.begin < conv->inner; columns.begin += columns.depth) {
        columns.depth = lesser(conv->depth, conv->inner - columns.begin);
        if (conv->slices) {
            columns.panels = shared_panels(state, columns.group, tile) +
                             columns.begin * 2 * conv->engine->lanes;
        } else {
            pack_tile(state, columns.group, tile, columns.begin, columns.begin + columns.depth,
                      own, panels);
            columns.panels = panels;
        }
        for (size_t p = first_panel; p < end_panel; p++)
            compute_panel(state, &columns, p, panel_count);
    }
}

void cm_conv_run(const cm_conv *conv, const float *packed, const float *x, float *y,
                 const cm_finish *finish, float *space) {
    if (conv->depthwise) {
        cm_depthwise_run(conv, packed, x, y, finish, space);
        return;
    }
    const cm_geometry *g = &conv->g;
    cm_finish moved = *finish;
    run_state state = {.conv = conv, .packed = packed, .x = x, .y = y, .finish = &moved};
    state.copy = space;
    state.shared = space + cm_conv_copy_floats(conv);
    state.threads = (char *)(void *)(state.shared + shared_floats(conv));
    size_t channels = g->groups * g->channels, outputs = g->groups * g->outputs;
    for (size_t image = 0; image < g->images; image += state.images) {
        state.images = lesser(conv->chunk, g->images - image);
        state.source = state.x;
        if (conv->copied) {
            cm_conv_copy(conv, state.images * channels, state.x, state.copy);
            state.source = state.copy;
        }
        state.tiles = ceil_div(state.images * conv->positions, conv->width);
        if (conv->slices)
            cm_pool_run(conv->threads, g->groups * state.tiles * conv->slices, pack_unit, &state);
        cm_pool_run(conv->threads, g->groups * state.tiles * conv->blocks, compute_unit, &state);
        state.x += state.images * channels * conv->volume;
        state.y += state.images * outputs * conv->positions;
        if (moved.residual) moved.residual += state.images * outputs * conv->positions;
    }
}
