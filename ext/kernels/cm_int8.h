/* Convolutions and inner products of 8-bit integers.
 *
 * Activations are unsigned with 7 bits, q = x / step + zero, weights signed with 8; the sums are exact
 * in 32 bits, so that all levels have the same. Four channels of a position stand in one word. So a
 * convolution of quads of channels is one of words, and shares its geometry with cm_conv.
 *
 * The instruction that multiplies bytes adds two products in 16 bits, where 127 * 127 * 2 fits. The
 * kernels add four such sums before they widen. Where the weights are so large that this could
 * saturate, quads are taken out of the matrix and added apart: *extras*. A layer that would have
 * many of them adds two sums only. */
#ifndef CM_INT8_H
#define CM_INT8_H

#include "cm_conv.h"

typedef struct {
    size_t images, channels; /* of all chunks; of a group, where conv counts quads */
    cm_conv conv;
    cm_int8_grid grid;
    size_t inner; /* quads of a row of packed weights: an even number */
    size_t panels;
} cm_int8;

/* Rows whose sums fit 32 bits have at most so many weights. */
#define CM_INT8_INNER 131072

/* Plans; `geometry` counts channels. CM_ARGUMENT where sizes do not fit or overflow, CM_MEMORY. */
cm_status cm_int8_plan(cm_int8 *plan, const cm_geometry *geometry, const cm_int8_grid *grid,
                       const cm_engine *engine, unsigned threads);
void cm_int8_free(cm_int8 *plan);

/* Floats of the space that a run needs. */
size_t cm_int8_space(const cm_int8 *plan);

/* Bytes of packed weights; panels of all groups. */
size_t cm_int8_bytes(size_t groups, size_t outputs, size_t channels, size_t taps);
size_t cm_int8_panels(const cm_engine *engine, size_t groups, size_t outputs);

/* Packs weights (groups * outputs, channels * taps) in row order. Panel p has the extras starts[p]
 * to starts[p + 1] - 1, by ascending step divided by 4. Returns their number; with `extras` NULL
 * only that. */
size_t cm_int8_pack(const cm_engine *engine, size_t groups, size_t outputs, size_t channels,
                    size_t taps, int deep, const int8_t *weights, int8_t *packed,
                    cm_int8_extra *extras, int64_t *starts);

/* Weights as cm_int8_pack leaves them. offsets: by output, what is added to the sums. */
typedef struct {
    const int8_t *packed;
    const cm_int8_extra *extras;
    const int64_t *starts;
    const int32_t *offsets;
    int deep;
} cm_int8_weights;

/* y (images, groups * outputs, positions) from x; finish as of cm_conv_run, with scale and bias. */
void cm_int8_run(const cm_int8 *plan, const cm_int8_weights *weights, const float *x, float *y,
                 const cm_finish *finish, float *space);

/* The fully connected layer: bytes of a packed row, floats of space, and as above. */
size_t cm_int8_dense_row(size_t inner);
void cm_int8_dense_pack(size_t outputs, size_t inner, const int8_t *weights, int8_t *packed);
size_t cm_int8_dense_space(size_t rows, size_t inner);
void cm_int8_dense_run(const cm_engine *engine, unsigned threads, size_t rows, size_t inner,
                       size_t outputs, const cm_int8_grid *grid, const int8_t *packed,
                       const int32_t *offsets, const float *x, float *y, const cm_finish *finish,
                       float *space);

#endif
