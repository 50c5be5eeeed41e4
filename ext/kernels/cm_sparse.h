/* Convolution with sparse weights, which are read in the order in which they are stored.
 *
 * For each stored weight, a few vectors of positions of its channel, shifted by its tap, are loaded
 * from the image, or its padded copy (cm_conv.h), times the weight, and added in registers; so work
 * and memory grow with the weights that are stored. Rows of weights that have the same columns can
 * be taken four at a time: a vector is then loaded once for four products (E. Elsen et al., "Fast
 * Sparse ConvNets", 2020). Each number is summed in the order of the columns, whatever the number
 * of threads and of images. */
#ifndef CM_SPARSE_H
#define CM_SPARSE_H

#include "cm_conv.h"

typedef struct {
    cm_conv conv; /* geometry, taps and the copy */
    int flat;     /* positions lie one behind the other in the source: 1 x 1 without a copy */
    unsigned rows, vectors;     /* rows taken at a time, vectors of a tile */
    size_t row_blocks, parts;   /* blocks of rows of a group; parts into which they are cut */
    size_t vector_count, tiles; /* of an image */
    ptrdiff_t *places, *targets; /* of each vector */
} cm_sparse;

/* Plans; `rows`: 1 or 4 rows of weights at a time. CM_ARGUMENT where sizes do not fit or a row of
 * positions is narrower than a vector and cannot be read over its end; CM_MEMORY. */
cm_status cm_sparse_plan(cm_sparse *sparse, const cm_geometry *geometry, const cm_engine *engine,
                         unsigned rows, unsigned threads);
void cm_sparse_free(cm_sparse *sparse);

/* Floats of the space that a run needs. */
size_t cm_sparse_space(const cm_sparse *sparse);

/* Offset in the source of a column (channel of the group and tap) of the weights. */
int32_t cm_sparse_offset(const cm_sparse *sparse, size_t column);

/* y (images, groups * outputs, positions) from x. Block b of `rows` rows has the columns starts[b]
 * to starts[b + 1] - 1 of offsets; weights: for each column those of the block's rows. */
void cm_sparse_run(const cm_sparse *sparse, const int64_t *starts, const int32_t *offsets,
                   const float *weights, const float *x, float *y, const cm_finish *finish,
                   float *space);

#endif
