/* Convolution by Winograd's minimal filtering: kernels of 3x3 and 5x5, stride 1.
 *
 * Over tiles of 6x6, F(4x4, 3x3) and F(2x2, 5x5) of Lavin and Gray (2016) with the points 0, 1, -1,
 * 2, -2: 36 multiplications for 144, and for 100, of the plain sum. The error of the result grows:
 * the transforms' factors go up to 8 in each direction. Over tiles of 4x4, F(2x2, 3x3) with the
 * points 0, 1, -1: 16 for 36, and less than half the transformed weights. */
#ifndef CM_WINO_H
#define CM_WINO_H

#include "cm_conv.h"

#define CM_WINO_MOST 6
/* Tiles that are transformed together. */
#define CM_WINO_GROUP 8

/* Where a tile lies in a channel of the image, and its results in an output. */
typedef struct cm_wino_tile {
    ptrdiff_t from, to; /* offsets of the first row and column, `from` maybe outside the image */
    int first, end;     /* rows of the tile that lie within the image */
    int rows, columns;  /* of results */
    int32_t mask[8];    /* columns of the tile that lie within the image */
} cm_wino_tile;

/* Transforms a group of tiles, of `size` rows and columns, of one channel: place p of tile i goes to
 * out[p * step + i]. */
cm_wino_input cm_wino_input_scalar, cm_wino_input_avx2;

/* Transforms back sums, [p * step + i], of `count` tiles and one output, and finishes them: `edge`
 * (4 or 2) rows and columns of results a tile of `size`. scale, bias and residual are those of this
 * output. */
cm_wino_output cm_wino_output_scalar, cm_wino_output_avx2;

typedef struct {
    cm_geometry g;
    const cm_engine *engine;
    unsigned threads;
    size_t size, places;  /* of a tile: rows and columns, and their product */
    size_t edge;          /* of the results of a tile */
    size_t across, down;  /* tiles of an image */
    size_t tiles;         /* of all images */
    size_t block;         /* tiles of a unit */
    size_t parts;         /* into which the outputs are cut */
    size_t slices;        /* of the channels that are transformed for all parts, where there are
                           * more than one; 0: each unit transforms its own */
    size_t panels;        /* of weights, in a group; so many at a time: */
    size_t panels_at_once;
} cm_wino;

/* Plans, for tiles of 6 or 4 rows; CM_ARGUMENT where the geometry is not one of those above. */
cm_status cm_wino_plan(cm_wino *wino, const cm_geometry *geometry, size_t size,
                       const cm_engine *engine, unsigned threads);

/* Floats of the space that a run needs. */
size_t cm_wino_space(const cm_wino *wino);

/* Transforms weights (groups * outputs, channels, kernel, kernel) into size^2 floats for each of the
 * kernel's channels, packed for the tiles. */
void cm_wino_pack(const cm_engine *engine, size_t groups, size_t outputs, size_t channels,
                  size_t kernel, size_t size, const float *weights, float *packed);

/* As cm_conv_run. */
void cm_wino_run(const cm_wino *wino, const float *packed, const float *x, float *y,
                 const cm_finish *finish, float *space);

#endif
