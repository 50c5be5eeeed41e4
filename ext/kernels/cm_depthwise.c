/* Convolutions whose outputs have a channel each: from a padded copy of each channel, which stays
 * in the cache, directly. */
#include "cm_conv.h"
#include "cm_pool.h"

/* Floats of a copy that stays in the first-level cache. */
#define BAND 4096
/* Results of one unit at least. */
#define LEAST_UNIT 8192

typedef struct {
    const cm_conv *conv;
    const float *weights, *x;
    float *y, *space;
    const cm_finish *finish;
    size_t planes, share;
} run_state;

/* Rows of results for which rows are copied at a time. */
static size_t band_of(const cm_conv *conv) {
    const cm_geometry *g = &conv->g;
    if (g->size[0] > 1 || g->out[0] > 1) return g->out[1];
    size_t reach = (g->kernel[1] - 1) * g->dilation[1] + 1, rows = BAND / conv->extent[2];
    size_t band = rows > reach ? (rows - reach) / g->stride[1] + 1 : 1;
    return band < g->out[1] ? band : g->out[1];
}

static size_t thread_floats(const cm_conv *conv) { return (conv->plane + 2 * 16) / 16 * 16; }

size_t cm_depthwise_space(const cm_conv *conv) { return conv->threads * thread_floats(conv); }

static void plane(const run_state *state, size_t number, float *copy) {
    const cm_conv *conv = state->conv;
    const cm_geometry *g = &conv->g;
    size_t output = number % g->groups, band = band_of(conv), width = g->out[2];
    cm_finish finish = *state->finish;
    if (finish.scale) finish.scale += output;
    if (finish.bias) finish.bias += output;
    const float *image = state->x + number * conv->volume;
    size_t reach = (g->kernel[1] - 1) * g->dilation[1] + 1;
    int whole = band == g->out[1];
    if (whole) cm_conv_copy_plane(conv, image, copy);
    for (size_t d = 0; d < g->out[0]; d++)
        for (size_t first = 0; first < g->out[1]; first += band) {
            size_t rows = g->out[1] - first < band ? g->out[1] - first : band;
            size_t place = number * conv->positions + (d * g->out[1] + first) * width;
            const float *source = copy;
            if (whole) {
                source += d * g->stride[0] * conv->extent[1] * conv->extent[2];
            } else {
                size_t top = first * g->stride[1];
                cm_conv_copy_rows(conv, image, top, top + (rows - 1) * g->stride[1] + reach, copy);
            }
            if (finish.residual) finish.residual = state->finish->residual + place;
            conv->engine->depthwise(source, g->stride[1] * conv->extent[2], conv->taps,
                                    conv->tap_count, state->weights + output * conv->tap_count,
                                    rows, width, state->y + place, &finish);
        }
}

static void compute_unit(void *context, size_t unit, unsigned worker) {
    const run_state *state = context;
    float *copy = state->space + worker * thread_floats(state->conv);
    size_t end = (unit + 1) * state->share;
    for (size_t p = unit * state->share; p < end && p < state->planes; p++) plane(state, p, copy);
}

void cm_depthwise_run(const cm_conv *conv, const float *weights, const float *x, float *y,
                      const cm_finish *finish, float *space) {
    run_state state = {conv, weights, x, y, space, finish, conv->g.images * conv->g.groups,
                       LEAST_UNIT / conv->positions + 1};
    cm_pool_run(conv->threads, (state.planes + state.share - 1) / state.share, compute_unit,
                &state);
}
