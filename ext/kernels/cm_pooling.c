#include "cm_pooling.h"

#include <math.h>

#include "cm_pool.h"

/* Inputs of one unit at least. */
#define LEAST_UNIT 8192
/* More terms are better summed in double precision. */
#define MOST_TERMS 64
#define MOST_SIZE ((size_t)1 << 24)
/* Positions that one unit of a normalisation handles. */
#define CHUNK 128

/* Whether the window is the whole plane, of which the mean is wanted. */
static int is_mean(const cm_window *w) {
    for (int i = 0; i < 2; i++)
        if (w->out[i] != 1 || w->pad[i] || w->kernel[i] != w->size[i]) return 0;
    return !w->maximum;
}

int cm_pooling_suits(const cm_window *w) {
    for (int i = 0; i < 2; i++)
        if (w->stride[i] > MOST_SIZE || w->size[i] > MOST_SIZE || w->kernel[i] > MOST_SIZE ||
            w->pad[i] > MOST_SIZE || w->out[i] > MOST_SIZE || !w->out[i] || !w->size[i])
            return 0;
    if (is_mean(w)) return 1;
    int few = w->kernel[0] <= MOST_TERMS && w->kernel[1] <= MOST_TERMS &&
              w->kernel[0] * w->kernel[1] <= MOST_TERMS;
    return (w->stride[1] == 1 || w->stride[1] == 2) && few;
}

size_t cm_pooling_space(const cm_window *w) {
    if (is_mean(w)) return 0;
    size_t reach = (w->out[1] - 1) * w->stride[1] + w->kernel[1];
    size_t row = w->pad[1] + (w->size[1] > reach ? w->size[1] : reach);
    return (3 * (row + 2 * 16) + w->out[1] + 2 * 16) / 16 * 16;
}

typedef struct {
    const cm_engine *engine;
    const cm_window *window;
    size_t planes, share;
    const float *x;
    float *y, *space;
} pooling_state;

static void pool_unit(void *context, size_t unit, unsigned worker) {
    const pooling_state *state = context;
    const cm_window *w = state->window;
    size_t end = (unit + 1) * state->share;
    if (is_mean(w)) {
        size_t count = w->size[0] * w->size[1];
        for (size_t p = unit * state->share; p < end && p < state->planes; p++) {
            float mean = state->engine->mean(state->x + p * count, count);
            state->y[p] = w->rectify && mean < 0 ? 0 : mean;
        }
        return;
    }
    float *space = state->space + worker * cm_pooling_space(w);
    for (size_t p = unit * state->share; p < end && p < state->planes; p++)
        state->engine->pool(w, state->x + p * w->size[0] * w->size[1],
                            state->y + p * w->out[0] * w->out[1], space);
}

void cm_pooling_run(const cm_engine *engine, unsigned threads, size_t planes,
                    const cm_window *window, const float *x, float *y, float *space) {
    size_t share = LEAST_UNIT / (window->size[0] * window->size[1]) + 1;
    pooling_state state = {engine, window, planes, share, x, y, space};
    cm_pool_run(threads, (planes + share - 1) / share, pool_unit, &state);
}

typedef struct {
    const cm_engine *engine;
    size_t channels, positions, chunks, size;
    float alpha, k;
    const float *x;
    float *y;
} lrn_state;

static void lrn_unit(void *context, size_t unit, unsigned worker) {
    const lrn_state *state = context;
    (void)worker;
    size_t first = unit % state->chunks * CHUNK, rest = state->positions - first;
    size_t place = unit / state->chunks * state->channels * state->positions + first;
    state->engine->lrn(state->x + place, state->y + place, state->channels, state->positions,
                       rest < CHUNK ? rest : CHUNK, state->size, state->alpha, state->k);
}

void cm_lrn_run(const cm_engine *engine, unsigned threads, size_t images, size_t channels,
                size_t positions, size_t size, float alpha, float k, const float *x, float *y) {
    size_t chunks = (positions + CHUNK - 1) / CHUNK;
    lrn_state state = {engine, channels, positions, chunks, size, alpha / (float)size, k, x, y};
    cm_pool_run(threads, images * chunks, lrn_unit, &state);
}

typedef struct {
    size_t channels, positions, chunks;
    const float *x;
    float *y;
} softmax_state;

static void softmax_unit(void *context, size_t unit, unsigned worker) {
    const softmax_state *state = context;
    (void)worker;
    size_t first = unit % state->chunks * CHUNK, step = state->positions;
    size_t count = step - first < CHUNK ? step - first : CHUNK;
    size_t place = unit / state->chunks * state->channels * step + first;
    const float *x = state->x + place;
    float *y = state->y + place, largest[CHUNK];
    double total[CHUNK] = {0};
    for (size_t i = 0; i < count; i++) largest[i] = x[i];
    for (size_t c = 1; c < state->channels; c++)
        for (size_t i = 0; i < count; i++)
            if (x[c * step + i] > largest[i]) largest[i] = x[c * step + i];
    for (size_t c = 0; c < state->channels; c++)
        for (size_t i = 0; i < count; i++) {
            y[c * step + i] = expf(x[c * step + i] - largest[i]);
            total[i] += y[c * step + i];
        }
    for (size_t c = 0; c < state->channels; c++)
        for (size_t i = 0; i < count; i++) y[c * step + i] /= (float)total[i];
}

void cm_softmax_run(unsigned threads, size_t images, size_t channels, size_t positions,
                    const float *x, float *y) {
    size_t chunks = (positions + CHUNK - 1) / CHUNK;
    softmax_state state = {channels, positions, chunks, x, y};
    cm_pool_run(threads, images * chunks, softmax_unit, &state);
}
