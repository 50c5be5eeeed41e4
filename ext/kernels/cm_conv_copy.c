/* The padded copy of an image that panels are packed from. */
#include <string.h>

#include "cm_conv.h"
#include "cm_pool.h"

/* Floats that are copied by one unit at least. */
#define COPY_UNIT 16384

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

/* A row with its padding, column f, f + stride, ... of it: column i of these is column
 * i * stride + f - pad of the image. */
static cm_row row_of(const cm_conv *conv, size_t f) {
    size_t stride = conv->g.stride[2], pad = conv->g.pad[2], size = conv->g.size[2];
    cm_row row = {.stride = stride, .step = conv->extent[2], .length = conv->phase};
    row.begin = lesser(f < pad ? ceil_div(pad - f, stride) : 0, conv->phase);
    row.end = size + pad > f ? ceil_div(size + pad - f, stride) : 0;
    row.end = greater(lesser(row.end, conv->phase), row.begin);
    if (row.end > row.begin) row.first = row.begin * stride + f - pad;
    return row;
}

static void copy_strided(const cm_row *row, const float *from, size_t width, size_t rows,
                         float *to) {
    for (from += row->first; rows; rows--, from += width, to += row->step) {
        for (size_t i = 0; i < row->length; i++) to[i] = 0;
        for (size_t i = row->begin; i < row->end; i++)
            to[i] = from[(i - row->begin) * row->stride];
    }
}

void cm_conv_copy_rows(const cm_conv *conv, const float *image, size_t first, size_t end,
                       float *target) {
    const cm_geometry *g = &conv->g;
    size_t pad = g->pad[1], height = g->size[1];
    /* Rows before, within and behind the image. */
    size_t begin = lesser(greater(first, pad), end);
    size_t stop = greater(lesser(end, height + pad), begin);
    memset(target, 0, (begin - first) * conv->extent[2] * sizeof *target);
    if (stop > begin) {
        const float *from = image + (begin - pad) * g->size[2];
        float *to = target + (begin - first) * conv->extent[2];
        size_t phases = g->kernel[2] == 1 ? 1 : g->stride[2];
        for (size_t f = 0; f < phases; f++, to += conv->phase) {
            cm_row row = row_of(conv, f);
            if (row.stride > 2) copy_strided(&row, from, g->size[2], stop - begin, to);
            else conv->engine->copy_rows(&row, from, g->size[2], stop - begin, to);
        }
    }
    memset(target + (stop - first) * conv->extent[2], 0,
           (end - stop) * conv->extent[2] * sizeof *target);
}

void cm_conv_copy_plane(const cm_conv *conv, const float *image, float *target) {
    const cm_geometry *g = &conv->g;
    size_t area = conv->extent[1] * conv->extent[2], each = g->kernel[1] == 1 ? g->stride[1] : 1;
    for (size_t d = 0; d < conv->extent[0]; d++, target += area) {
        if (d < g->pad[0] || d - g->pad[0] >= g->size[0]) {
            memset(target, 0, area * sizeof *target);
            continue;
        }
        const float *from = image + (d - g->pad[0]) * g->size[1] * g->size[2];
        if (each == 1) {
            cm_conv_copy_rows(conv, from, 0, conv->extent[1], target);
            continue;
        }
        /* Rows that no tap reads stay as they are. */
        for (size_t h = 0; h < conv->extent[1]; h += each)
            cm_conv_copy_rows(conv, from, h, h + 1, target + h * conv->extent[2]);
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
