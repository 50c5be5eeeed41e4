#include "cm_wino.h"

#include <string.h>

#include "cm_pool.h"

#define GROUP CM_WINO_GROUP
/* Floats of a unit's transformed tiles: what a second-level cache holds, for a panel at least. */
#define UNIT_FLOATS 81920
/* Tiles at least, as long as there are so many: weights are read again for each unit. */
#define LEAST_TILES 32
/* Rows of sums at a time. */
#define MOST_ROWS 48
#define UNITS_PER_THREAD 4
/* Channels, and outputs, between what is computed and what is fetched. */
#define AHEAD 2
#define MOST_FLOATS ((size_t)1 << 40)
/* Between places, so that they do not fall on the same cache lines. */
#define SKEW 16

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

static int suits(const cm_geometry *g, size_t size) {
    for (int i = 0; i < 3; i++)
        if (g->stride[i] != 1 || g->dilation[i] != 1) return 0;
    return g->kernel[0] == 1 && g->kernel[1] == g->kernel[2] && g->size[0] == 1 &&
           g->pad[0] == 0 &&
           (g->kernel[1] == 3 ? size == 6 || size == 4 : g->kernel[1] == 5 && size == 6);
}

static size_t columns_of(const cm_wino *wino) { return 2 * wino->engine->lanes; }

/* Floats between the transformed tiles of two places, and between the sums of two places. */
static size_t place_floats(const cm_wino *wino) {
    return wino->block * wino->g.channels + SKEW;
}

static size_t sums_floats(const cm_wino *wino) {
    return wino->panels_at_once * wino->engine->rows * wino->block + SKEW;
}

/* Floats of the transformed tiles of a block. */
static size_t inputs_floats(const cm_wino *wino) { return wino->places * place_floats(wino); }

static size_t blocks_of(const cm_wino *wino) { return ceil_div(wino->tiles, wino->block); }

/* Floats of the transformed tiles that all units share. */
static size_t shared_floats(const cm_wino *wino) {
    return wino->slices ? wino->g.groups * blocks_of(wino) * inputs_floats(wino) : 0;
}

static size_t thread_floats(const cm_wino *wino) {
    size_t tiles = ceil_div(wino->block * sizeof(cm_wino_tile), sizeof(float));
    size_t floats = wino->places * sums_floats(wino) + tiles;
    if (!wino->slices) floats += inputs_floats(wino);
    return ceil_div(floats, 16) * 16;
}

cm_status cm_wino_plan(cm_wino *wino, const cm_geometry *g, size_t size, const cm_engine *engine,
                       unsigned threads) {
    memset(wino, 0, sizeof *wino);
    cm_conv plain; /* checks the sizes */
    cm_status status = cm_conv_plan(&plain, g, engine, threads);
    if (status != CM_OK) return status;
    cm_conv_free(&plain);
    if (!suits(g, size)) return CM_ARGUMENT;
    wino->g = *g;
    wino->engine = engine;
    wino->threads = threads ? threads : 1;
    wino->size = size;
    wino->places = size * size;
    wino->edge = size + 1 - g->kernel[1];
    wino->across = ceil_div(g->out[2], wino->edge);
    wino->down = ceil_div(g->out[1], wino->edge);
    wino->tiles = g->images * wino->across * wino->down;
    wino->panels = ceil_div(g->outputs, engine->rows);
    size_t columns = columns_of(wino);
    size_t wanted = wino->threads > 1 ? wino->threads * UNITS_PER_THREAD : 1;
    size_t block = UNIT_FLOATS / wino->places / g->channels / columns * columns;
    block = lesser(greater(block, LEAST_TILES), 8 * columns);
    size_t share = ceil_div(wino->tiles * g->groups, wanted);
    block = lesser(block, greater(share, lesser(block, LEAST_TILES)));
    wino->block = ceil_div(ceil_div(wino->tiles, ceil_div(wino->tiles, block)), columns) * columns;
    size_t units = blocks_of(wino) * g->groups;
    wino->parts = lesser(ceil_div(wanted, units), wino->panels);
    if (wino->parts > 1) wino->slices = lesser(ceil_div(wanted, units), g->channels);
    wino->panels_at_once = lesser(greater(MOST_ROWS / engine->rows, 1),
                                  ceil_div(wino->panels, wino->parts));
    if (g->channels > MOST_FLOATS / wino->places / 64 / wino->block) return CM_ARGUMENT;
    return CM_OK;
}

size_t cm_wino_space(const cm_wino *wino) {
    return shared_floats(wino) + wino->threads * thread_floats(wino);
}

/* Row i of the weights' transform applied to a row of the kernel. */
static double weigh(const double *w, size_t kernel, size_t size, size_t step, size_t i) {
    static const double points[] = {0, 1, -1, 2, -2};
    static const double factors[2][5] = {{1, 1 / 2.0, 1 / 2.0},
                                         {1 / 4.0, -1 / 6.0, -1 / 6.0, 1 / 24.0, 1 / 24.0}};
    if (i == size - 1) return w[(kernel - 1) * step];
    double sum = 0;
    for (size_t k = kernel; k-- > 0;) sum = sum * points[i] + w[k * step];
    return sum * factors[size == 6][i];
}

static void transform_kernel(const float *w, size_t kernel, size_t size, float *out) {
    double given[25], rows[CM_WINO_MOST * 5];
    for (size_t i = 0; i < kernel * kernel; i++) given[i] = w[i];
    for (size_t i = 0; i < size; i++)
        for (size_t c = 0; c < kernel; c++)
            rows[i * kernel + c] = weigh(given + c, kernel, size, kernel, i);
    for (size_t i = 0; i < size; i++)
        for (size_t j = 0; j < size; j++)
            out[i * size + j] = (float)weigh(rows + i * kernel, kernel, size, 1, j);
}

void cm_wino_pack(const cm_engine *engine, size_t groups, size_t outputs, size_t channels,
                  size_t kernel, size_t size, const float *weights, float *packed) {
    size_t panels = ceil_div(outputs, engine->rows), place = outputs * channels;
    size_t all = size * size;
    for (size_t group = 0; group < groups; group++, packed += all * place)
        for (size_t p = 0; p < panels; p++) {
            size_t first = cm_panel_first(p, outputs, panels);
            size_t rows = cm_panel_first(p + 1, outputs, panels) - first;
            for (size_t r = 0; r < rows; r++)
                for (size_t c = 0; c < channels; c++) {
                    float places[CM_WINO_MOST * CM_WINO_MOST];
                    size_t row = (group * outputs + first + r) * channels + c;
                    transform_kernel(weights + row * kernel * kernel, kernel, size, places);
                    float *target = packed + first * channels + c * rows + r;
                    for (size_t i = 0; i < all; i++) target[i * place] = places[i];
                }
        }
}

typedef struct {
    const cm_wino *wino;
    const float *packed, *x;
    float *y, *shared, *space;
    const cm_finish *finish;
} run_state;

typedef struct {
    size_t group, count; /* tiles */
    cm_wino_tile *tiles;
    float *inputs, *sums;
} unit_state;

static void find_tile(const cm_wino *wino, size_t number, cm_wino_tile *tile) {
    const cm_geometry *g = &wino->g;
    memset(tile, 0, sizeof *tile);
    if (number >= wino->tiles) return;
    size_t column = number % wino->across, rest = number / wino->across;
    size_t line = rest % wino->down, image = rest / wino->down;
    size_t top = line * wino->edge, left = column * wino->edge;
    ptrdiff_t y = (ptrdiff_t)top - (ptrdiff_t)g->pad[1];
    ptrdiff_t x = (ptrdiff_t)left - (ptrdiff_t)g->pad[2];
    ptrdiff_t height = (ptrdiff_t)g->size[1], width = (ptrdiff_t)g->size[2];
    tile->from = (ptrdiff_t)(image * g->groups * g->channels) * height * width + y * width + x;
    tile->to = (ptrdiff_t)(image * g->groups * g->outputs * g->out[1] * g->out[2] +
                           top * g->out[2] + left);
    for (int i = 0; i < (int)wino->size; i++) {
        if (y + i < 0) tile->first = i + 1;
        if (y + i < height) tile->end = i + 1;
        tile->mask[i] = x + i >= 0 && x + i < width ? -1 : 0;
    }
    if (tile->end < tile->first) tile->end = tile->first;
    tile->rows = (int)lesser(wino->edge, g->out[1] - top);
    tile->columns = (int)lesser(wino->edge, g->out[2] - left);
}

/* Fetches the rows of a group of tiles, which are short pieces that no machine foresees; a cache
 * line holds about four tiles. */
static void fetch(const cm_wino_tile *tiles, const float *channel, ptrdiff_t row) {
    for (int i = 0; i < GROUP; i += 4)
        for (int r = tiles[i].first; r < tiles[i].end; r++)
            __builtin_prefetch(channel + tiles[i].from + r * row + 1);
}

static void fetch_results(const cm_wino_tile *tiles, float *y, ptrdiff_t row) {
    for (int i = 0; i < GROUP; i += 4)
        for (int r = 0; r < tiles[i].rows; r++) __builtin_prefetch(y + tiles[i].to + r * row, 1);
}

static void transform_inputs(const run_state *state, const unit_state *unit, size_t first,
                             size_t end_channel) {
    const cm_wino *wino = state->wino;
    const cm_geometry *g = &wino->g;
    size_t columns = columns_of(wino), plane = g->size[1] * g->size[2];
    cm_wino_input *transform = wino->engine->wino_input;
    const float *channel = state->x + (unit->group * g->channels + first) * plane;
    /* Whole vectors: the tiles behind the last are zero. */
    size_t end = ceil_div(unit->count, greater(GROUP, wino->engine->lanes)) *
                 greater(GROUP, wino->engine->lanes);
    for (size_t c = first; c < end_channel; c++, channel += plane)
        for (size_t i = 0; i < end; i += GROUP) {
            size_t panel = i / columns;
            if (c + AHEAD < g->channels)
                fetch(unit->tiles + i, channel + AHEAD * plane, (ptrdiff_t)g->size[2]);
            transform((unsigned)wino->size, unit->tiles + i, channel, (ptrdiff_t)g->size[2],
                      unit->inputs + (panel * g->channels + c) * columns + i % columns,
                      place_floats(wino));
        }
}

static void multiply(const run_state *state, const unit_state *unit, size_t first, size_t end) {
    const cm_wino *wino = state->wino;
    size_t channels = wino->g.channels, outputs = wino->g.outputs, columns = columns_of(wino);
    size_t start = cm_panel_first(first, outputs, wino->panels);
    for (size_t place = 0; place < wino->places; place++) {
        const float *weights =
            state->packed + (unit->group * wino->places + place) * outputs * channels;
        for (size_t p = first; p < end; p++) {
            size_t row = cm_panel_first(p, outputs, wino->panels);
            size_t rows = cm_panel_first(p + 1, outputs, wino->panels) - row;
            const float *b = unit->inputs + place * place_floats(wino);
            float *sums = unit->sums + place * sums_floats(wino) + (row - start) * wino->block;
            for (size_t n = 0; n < unit->count; n += columns, b += columns * channels)
                wino->engine->tile((unsigned)rows, unit->count - n > wino->engine->lanes ? 2 : 1,
                                   channels, weights + row * channels, b, sums + n,
                                   (ptrdiff_t)wino->block, 0, NULL);
        }
    }
}

static void transform_outputs(const run_state *state, const unit_state *unit, size_t first,
                              size_t end) {
    const cm_wino *wino = state->wino;
    const cm_geometry *g = &wino->g;
    size_t start = cm_panel_first(first, g->outputs, wino->panels);
    size_t stop = cm_panel_first(end, g->outputs, wino->panels), plane = g->out[1] * g->out[2];
    for (size_t r = start; r < stop; r++) {
        size_t row = unit->group * g->outputs + r;
        cm_finish finish = *state->finish;
        if (finish.scale) finish.scale += row;
        if (finish.bias) finish.bias += row;
        if (finish.residual) finish.residual += row * plane;
        for (size_t i = 0; i < unit->count; i += GROUP) {
            if (r + AHEAD < stop)
                fetch_results(unit->tiles + i, state->y + (row + AHEAD) * plane,
                              (ptrdiff_t)g->out[2]);
            wino->engine->wino_output((unsigned)wino->size, (unsigned)wino->edge, unit->tiles + i,
                                      (unsigned)lesser(GROUP, unit->count - i),
                                      unit->sums + (r - start) * wino->block + i,
                                      sums_floats(wino), state->y + row * plane,
                                      (ptrdiff_t)g->out[2], &finish);
        }
    }
}

/* Finds the tiles of a block, and where what is computed of them goes. */
static unit_state find_unit(const run_state *state, size_t group, size_t block, unsigned worker) {
    const cm_wino *wino = state->wino;
    unit_state unit = {.group = group};
    unit.sums = state->space + worker * thread_floats(wino);
    unit.tiles = (cm_wino_tile *)(void *)(unit.sums + wino->places * sums_floats(wino));
    unit.inputs = (float *)(void *)(unit.tiles + wino->block);
    if (wino->slices)
        unit.inputs = state->shared + (group * blocks_of(wino) + block) * inputs_floats(wino);
    unit.count = lesser(wino->block, wino->tiles - block * wino->block);
    for (size_t i = 0; i < wino->block; i++)
        find_tile(wino, i < unit.count ? block * wino->block + i : wino->tiles, unit.tiles + i);
    return unit;
}

/* Some channels of a block, for all parts of the outputs. */
static void transform_unit(void *context, size_t number, unsigned worker) {
    const run_state *state = context;
    const cm_wino *wino = state->wino;
    size_t slice = number % wino->slices, rest = number / wino->slices;
    unit_state unit = find_unit(state, rest / blocks_of(wino), rest % blocks_of(wino), worker);
    transform_inputs(state, &unit, slice * wino->g.channels / wino->slices,
                     (slice + 1) * wino->g.channels / wino->slices);
}

static void compute_unit(void *context, size_t number, unsigned worker) {
    const run_state *state = context;
    const cm_wino *wino = state->wino;
    size_t part = number % wino->parts, rest = number / wino->parts;
    unit_state unit = find_unit(state, rest / blocks_of(wino), rest % blocks_of(wino), worker);
    if (!wino->slices) transform_inputs(state, &unit, 0, wino->g.channels);
    size_t end = (part + 1) * wino->panels / wino->parts;
    for (size_t p = part * wino->panels / wino->parts; p < end; p += wino->panels_at_once) {
        size_t stop = lesser(p + wino->panels_at_once, end);
        multiply(state, &unit, p, stop);
        transform_outputs(state, &unit, p, stop);
    }
}

void cm_wino_run(const cm_wino *wino, const float *packed, const float *x, float *y,
                 const cm_finish *finish, float *space) {
    run_state state = {.wino = wino, .packed = packed, .x = x, .y = y, .finish = finish};
    size_t units = wino->g.groups * blocks_of(wino);
    state.shared = space;
    state.space = space + shared_floats(wino);
    if (wino->slices) cm_pool_run(wino->threads, units * wino->slices, transform_unit, &state);
    cm_pool_run(wino->threads, units * wino->parts, compute_unit, &state);
}
