/* Convolutions whose outputs have a channel each: from a padded copy of each channel, which stays
 * in the cache, directly. */
#include "cm_conv.h"
#include "cm_pool.h"

/* Results of one unit at least. */
#define LEAST_UNIT 8192

typedef struct {
    const cm_conv *conv;
    const float *weights, *x;
    float *y, *space;
    const cm_finish *finish;
    size_t planes, share;
} run_state;

static size_t thread_floats(const cm_conv *conv) { return (conv->plane + 2 * 16) / 16 * 16; }

size_t cm_depthwise_space(const cm_conv *conv) { return conv->threads * thread_floats(conv); }

static void plane(const run_state *state, size_t number, float *copy) {
    const cm_conv *conv = state->conv;
    const cm_geometry *g = &conv->g;
    size_t output = number % g->groups;
    cm_finish finish = *state->finish;
    if (finish.scale) finish.scale += output;
    if (finish.bias) finish.bias += output;
    cm_conv_copy_plane(conv, state->x + number * conv->volume, copy);
    size_t area = g->out[1] * g->out[2], step = g->stride[1] * conv->extent[2];
    for (size_t d = 0; d < g->out[0]; d++) {
        size_t place = number * conv->positions + d * area;
        if (finish.residual) finish.residual = state->finish->residual + place;
        conv->engine->depthwise(copy + d * g->stride[0] * conv->extent[1] * conv->extent[2], step,
                                conv->taps, conv->tap_count,
                                state->weights + output * conv->tap_count, g->out[1], g->out[2],
                                state->y + place, &finish);
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
