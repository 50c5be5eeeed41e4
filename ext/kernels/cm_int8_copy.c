/* The copy of an image as words of four 7-bit integers, with its padding. */
#include "cm_int8.h"
#include "cm_int8_copy.h"
#include "cm_pool.h"

/* Words that are copied by one unit at least. */
#define COPY_UNIT 8192
/* Columns that are sorted at a time. */
#define COLUMNS 256

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

typedef struct {
    const cm_int8 *plan;
    size_t quads, share; /* in all, and of one unit */
    const float *images;
    uint32_t *target, zeros;
} copy_state;

static void fill(uint32_t *target, size_t count, uint32_t word) {
    for (size_t i = 0; i < count; i++) target[i] = word;
}

/* Columns `first` to `first + count - 1` of the image, sorted by their rest modulo the stride. */
static void sort_columns(const cm_conv *conv, size_t first, size_t count, const uint32_t *words,
                         uint32_t *target) {
    size_t stride = conv->g.stride[2], phases = conv->g.kernel[2] == 1 ? 1 : stride;
    for (size_t f = 0; f < phases; f++) {
        /* The first of them whose column in the copy has the rest f. */
        size_t column = first + conv->g.pad[2], skip = (f + stride - column % stride) % stride;
        size_t place = (column + skip) / stride;
        uint32_t *to = target + f * conv->phase;
        for (size_t i = skip; i < count && place < conv->phase; i += stride) to[place++] = words[i];
    }
}

/* A row of up to four channels. */
static void copy_row(const copy_state *state, unsigned channels, const float *row,
                     uint32_t *target) {
    const cm_int8 *plan = state->plan;
    const cm_conv *conv = &plan->conv;
    size_t size = conv->g.size[2], pad = conv->g.pad[2], stride = conv->g.stride[2];
    if (stride == 1) {
        size_t most = lesser(size, conv->phase - lesser(pad, conv->phase));
        fill(target, lesser(pad, conv->phase), state->zeros);
        conv->engine->quantise(channels, row, conv->volume, most, &plan->grid, target + pad);
        if (pad + most < conv->phase)
            fill(target + pad + most, conv->phase - pad - most, state->zeros);
        return;
    }
    uint32_t words[COLUMNS];
    fill(target, conv->extent[2], state->zeros);
    for (size_t first = 0; first < size; first += COLUMNS) {
        size_t count = lesser(COLUMNS, size - first);
        conv->engine->quantise(channels, row + first, conv->volume, count, &plan->grid, words);
        sort_columns(conv, first, count, words, target);
    }
}

static void copy_quad(const copy_state *state, unsigned channels, const float *image,
                      uint32_t *target) {
    const cm_int8 *plan = state->plan;
    const cm_conv *conv = &plan->conv;
    const cm_geometry *g = &conv->g;
    if (!conv->copied) {
        conv->engine->quantise(channels, image, conv->volume, conv->volume, &plan->grid, target);
        return;
    }
    for (size_t d = 0; d < conv->extent[0]; d++)
        for (size_t h = 0; h < conv->extent[1]; h++, target += conv->extent[2]) {
            if (g->kernel[1] == 1 && h % g->stride[1]) continue;
            if (d < g->pad[0] || d - g->pad[0] >= g->size[0] || h < g->pad[1] ||
                h - g->pad[1] >= g->size[1])
                fill(target, conv->extent[2], state->zeros);
            else
                copy_row(state, channels,
                         image + ((d - g->pad[0]) * g->size[1] + h - g->pad[1]) * g->size[2],
                         target);
        }
}

static void copy_unit(void *context, size_t unit, unsigned worker) {
    const copy_state *state = context;
    const cm_int8 *plan = state->plan;
    const cm_conv *conv = &plan->conv;
    (void)worker;
    size_t end = lesser((unit + 1) * state->share, state->quads), of_group = conv->g.channels;
    for (size_t q = unit * state->share; q < end; q++) {
        size_t first = q / of_group * plan->channels + q % of_group * 4;
        unsigned channels = (unsigned)lesser(4, plan->channels - q % of_group * 4);
        copy_quad(state, channels, state->images + first * conv->volume,
                  state->target + q * conv->plane);
    }
}

void cm_int8_copy(const cm_int8 *plan, size_t images, const float *x, uint32_t *target) {
    const cm_conv *conv = &plan->conv;
    copy_state state = {plan, images * conv->g.groups * conv->g.channels,
                        greater(COPY_UNIT / conv->plane, 1), x, target,
                        (uint32_t)plan->grid.zero * 0x01010101u};
    cm_pool_run(conv->threads, ceil_div(state.quads, state.share), copy_unit, &state);
}
