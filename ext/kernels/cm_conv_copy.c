/* The padded copy of an image that panels are packed from. */
#include <string.h>

#include "cm_conv.h"
#include "cm_pool.h"

/* Floats that are copied by one unit at least. */
#define COPY_UNIT 16384

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

/* Every so many floats; the usual stride in a loop of its own, which the compiler vectorises. */
static void take_each(size_t stride, const float *restrict from, float *restrict to,
                      size_t count) {
    if (stride == 2)
        for (size_t i = 0; i < count; i++) to[i] = from[2 * i];
    else
        for (size_t i = 0; i < count; i++) to[i] = from[i * stride];
}

/* A row with its padding, sorted by the rest of the column modulo the stride. */
static void copy_row(const cm_conv *conv, const float *row, float *target) {
    size_t stride = conv->g.stride[2], pad = conv->g.pad[2], size = conv->g.size[2];
    size_t phases = conv->g.kernel[2] == 1 ? 1 : stride;
    for (size_t f = 0; f < phases; f++, target += conv->phase) {
        /* Column i of this rest is column i * stride + f - pad of the image. */
        size_t begin = f < pad ? ceil_div(pad - f, stride) : 0;
        size_t end = size + pad > f ? ceil_div(size + pad - f, stride) : 0;
        begin = lesser(begin, conv->phase);
        end = greater(lesser(end, conv->phase), begin);
        memset(target, 0, begin * sizeof *target);
        const float *from = row + (begin * stride + f - pad);
        if (stride == 1) {
            memcpy(target + begin, from, (end - begin) * sizeof *target);
        } else {
            take_each(stride, from, target + begin, end - begin);
        }
        memset(target + end, 0, (conv->phase - end) * sizeof *target);
    }
}

void cm_conv_copy_plane(const cm_conv *conv, const float *image, float *target) {
    const cm_geometry *g = &conv->g;
    for (size_t d = 0; d < conv->extent[0]; d++) {
        for (size_t h = 0; h < conv->extent[1]; h++, target += conv->extent[2]) {
            if (g->kernel[1] == 1 && h % g->stride[1]) continue;
            if (d < g->pad[0] || d - g->pad[0] >= g->size[0] || h < g->pad[1] ||
                h - g->pad[1] >= g->size[1])
                memset(target, 0, conv->extent[2] * sizeof *target);
            else
                copy_row(conv,
                         image + ((d - g->pad[0]) * g->size[1] + h - g->pad[1]) * g->size[2],
                         target);
        }
    }
}

typedef struct {
    const cm_conv *conv;
    size_t planes, share; /* in all, and of one unit */
    const float *images;
    float *target;
} copy_state;

static void copy_unit(void *context, size_t unit, unsigned worker) {
    const copy_state *state = context;
    const cm_conv *conv = state->conv;
    (void)worker;
    size_t end = lesser((unit + 1) * state->share, state->planes);
    for (size_t p = unit * state->share; p < end; p++)
        cm_conv_copy_plane(conv, state->images + p * conv->volume, state->target + p * conv->plane);
}

void cm_conv_copy(const cm_conv *conv, size_t planes, const float *images, float *target) {
    copy_state state = {conv, planes, greater(COPY_UNIT / conv->plane, 1), images, target};
    cm_pool_run(conv->threads, ceil_div(planes, state.share), copy_unit, &state);
}

size_t cm_conv_copy_floats(const cm_conv *conv) {
    size_t planes = conv->chunk * conv->g.groups * conv->g.channels;
    return conv->copied ? ceil_div(planes * conv->plane, 16) * 16 : 0;
}
