/* Convolution as a matrix product whose columns are packed straight from the image.
 *
 * The rows are outputs, the columns the positions of all images one after another, the inner
 * dimension the channels of a group times the taps of the kernel. Each number of the result is
 * summed in the same order whatever the number of threads and of images. */
#ifndef CM_CONV_H
#define CM_CONV_H

#include "cm_engine.h"
#include "cm_status.h"

typedef struct {
    size_t images, groups, channels, outputs; /* channels and outputs of one group */
    size_t size[3], out[3];                   /* of the image and of the positions */
    size_t kernel[3], stride[3], pad[3], dilation[3];
} cm_geometry;

typedef struct {
    cm_geometry g;
    const cm_engine *engine;
    unsigned threads;
    size_t inner, positions, volume; /* floats: rows of columns; of an output; of a channel */
    /* A copy of the image with its padding, columns sorted by their rest modulo the stride. */
    int copied;
    int depthwise; /* one channel and one output a group: see cm_depthwise.c */
    size_t extent[3], phase; /* depth, height, row of the source; columns of one rest */
    size_t plane;            /* floats of a channel of the source */
    size_t chunk;            /* images that are copied, and computed, at a time */
    size_t depth;            /* rows of columns packed at a time */
    size_t width, blocks;    /* columns of a unit; parts into which the outputs are cut */
    size_t slices;           /* parts of the rows of columns that are packed at a time for all
                              * blocks, where there are more than one; 0: each unit packs its own */
    size_t tap_count;
    ptrdiff_t *taps;
} cm_conv;

/* Plans; CM_ARGUMENT where sizes do not fit or overflow, CM_MEMORY. */
cm_status cm_conv_plan(cm_conv *conv, const cm_geometry *geometry, const cm_engine *engine,
                       unsigned threads);
void cm_conv_free(cm_conv *conv);

/* Floats of the space that a run needs. */
size_t cm_conv_space(const cm_conv *conv);

/* Packs weights (groups * outputs, inner) in row order into as many floats. */
void cm_conv_pack(const cm_engine *engine, size_t groups, size_t outputs, size_t inner,
                  const float *weights, float *packed);

/* y (images, groups * outputs, positions) from x. finish: by output of all groups; its residual,
 * where there is one, is of y's shape. */
void cm_conv_run(const cm_conv *conv, const float *packed, const float *x, float *y,
                 const cm_finish *finish, float *space);

/* Copies a channel with its padding, columns sorted by their rest modulo the stride. */
void cm_conv_copy_plane(const cm_conv *conv, const float *image, float *target);

/* Rows `first` to `end`, padding counted, of one depth of a channel. */
void cm_conv_copy_rows(const cm_conv *conv, const float *image, size_t first, size_t end,
                       float *target);

/* The same of many channels, one after another, shared by the threads. */
void cm_conv_copy(const cm_conv *conv, size_t planes, const float *images, float *target);

/* Says where each vector of the columns `first` to `end` lies in the source; those beyond are filled
 * up. Returns their number, which is even. */
size_t cm_conv_find_lanes(const cm_conv *conv, size_t first, size_t end, cm_lanes *vectors,
                          cm_piece *pieces);

/* Copies `width` columns of a tile, which may lie in several images, from the result or `back`. */
void cm_conv_move_tile(const cm_conv *conv, size_t row, size_t rows, size_t column, size_t width,
                       float *result, float *tile, int back);

/* Floats of the copies of a chunk of images, where they are copied. */
size_t cm_conv_copy_floats(const cm_conv *conv);

/* cm_conv_space and cm_conv_run where each output has a channel of its own. */
size_t cm_depthwise_space(const cm_conv *conv);
void cm_depthwise_run(const cm_conv *conv, const float *weights, const float *x, float *y,
                      const cm_finish *finish, float *space);

#endif
