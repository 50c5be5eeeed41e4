/* The kernels of the engine that are compiled once for each level (see cm_vec.h). */
#ifndef CM_ENGINE_H
#define CM_ENGINE_H

#include <stdint.h>

#include "cm_tile.h"

/* Lanes of a vector of columns that lie in one row of the image. */
typedef struct {
    ptrdiff_t offset; /* of lane 0; only lanes with a mask that is not 0 are read */
    int32_t mask[16];
} cm_piece;

/* Where a vector of columns lies. count 0: all in one row, at `offset`; else in so many pieces. */
typedef struct {
    ptrdiff_t offset;
    const cm_piece *pieces;
    size_t count;
} cm_lanes;

/* Rows of patches to be packed: row k is tap k % taps of channel k / taps. */
typedef struct {
    const float *source; /* the first channel of the first image */
    size_t plane;        /* floats of a channel */
    const ptrdiff_t *taps;
    size_t tap_count;
    size_t first, count; /* rows */
} cm_patches;

/* See cm_wino.h. */
struct cm_wino_tile;
typedef void cm_wino_input(unsigned size, const struct cm_wino_tile *tiles, const float *channel,
                           ptrdiff_t row, float *out, size_t step);
typedef void cm_wino_output(unsigned size, unsigned edge, const struct cm_wino_tile *tiles,
                            unsigned count, const float *sums, size_t step, float *y,
                            ptrdiff_t row, const cm_finish *finish);

/* Part of a row with its padding: `begin` zeros, then the numbers of the image from `first` on and
 * every `stride` (1 or 2) floats, then zeros from `end` on. */
typedef struct {
    size_t begin, end, length;
    size_t first, stride;
    size_t step; /* floats between rows of the target */
} cm_row;

/* Of a pooling, by axis height and width; max or average. */
typedef struct {
    size_t size[2], out[2], kernel[2], stride[2], pad[2];
    int maximum;
    int rectify; /* negative results become 0 */
} cm_window;

/* Entries of a codebook as the kernels take it; those that are not used are there too. */
#define CM_CODED_ENTRIES 16

/* A matrix of weights as it is kept compressed; see cm_coded.h. */
typedef struct {
    size_t outputs, inner;
    /* Sparse: row o has the weights starts[o] to starts[o + 1] - 1, in these columns. NULL: all. */
    const int64_t *starts;
    const uint16_t *columns;
    const float *values; /* or NULL: */
    const uint8_t *indices;
    const float *entries; /* 16 for each `shared` rows */
    size_t shared;
} cm_coded;

/* Of sparse weights, for one row or four: how far behind a position in the source each stored
 * column lies, and the weights of the rows at it, one after another. */
typedef struct {
    size_t count;
    const int32_t *offsets;
    const float *weights;
} cm_sparse_row;

/* Activations as integers of 0 to CM_INT8_LEVELS: x * inverse, rounded, plus zero. */
#define CM_INT8_LEVELS 127
typedef struct {
    float inverse;
    int32_t zero;
} cm_int8_grid;

/* A quad of weights that is not in the matrix: of a row of the panel, at a step of its columns. */
typedef struct {
    int32_t step, row;
    int8_t weights[4];
} cm_int8_extra;

/* Those of a tile, whose first step is `begin`. deep: four quads of the matrix at a time keep within
 * 16 bits, else two. */
typedef struct {
    const cm_int8_extra *list;
    size_t count, begin;
    int deep;
} cm_int8_extras;

/* What follows a sum of integers: offsets by row of the tile, then as of floats, with scale and bias
 * in any case. */
typedef struct {
    const int32_t *offsets;
    cm_finish then;
} cm_int8_finish;

typedef struct {
    unsigned lanes, rows; /* columns of a tile: two vectors of `lanes` */
    cm_tile *tile;
    /* Packs `vectors` vectors (an even number) into panels that are `panel` floats apart. */
    void (*pack)(const cm_patches *patches, const cm_lanes *vectors, size_t count, float *panels,
                 size_t panel);
    /* sums[3 o + r] = k products of row o of the weights and row r of x, rows `inner` floats apart,
     * for up to 4 rows of weights and 3 of x. */
    void (*dot)(unsigned outputs, unsigned rows, size_t k, const float *weights, const float *x,
                size_t inner, float *sums);
    /* sums[r] = row `output` of the matrix times row r of x: of a sparse one for one row of x, of
     * one without columns for up to 4. */
    void (*coded)(const cm_coded *matrix, size_t output, unsigned rows, const float *x,
                  float *sums);
    /* `vectors` (1, 2, 4) vectors of sums = row `output` of a sparse matrix times a panel. */
    void (*coded_panel)(const cm_coded *matrix, size_t output, unsigned vectors,
                        const float *panel, float *sums);
    /* Vectors of 1 or 4 rows of results, `step` floats apart: vector v from places[v] of the source
     * to targets[v] of y and of the residual. At most sparse_one vectors, or sparse_four; flat: they
     * lie one behind the other in the source. */
    void (*sparse)(unsigned rows, unsigned vectors, int flat, const cm_sparse_row *row,
                   const float *source, const ptrdiff_t *places, float *y,
                   const ptrdiff_t *targets, size_t step, const cm_finish *finish);
    unsigned sparse_one, sparse_four;
    /* sums (outputs x columns of a tile), plus what is there where `accumulate` is set, = up to 6
     * rows of weights, `inner` floats apart, times a panel of columns. */
    void (*rows_by_panel)(unsigned outputs, unsigned vectors, size_t k, const float *weights,
                          size_t inner, const float *columns, float *sums, int accumulate);
    /* y (rows x width, one after another) from a source whose rows are `step` floats apart: the sum
     * over the taps. The source has as many floats behind it as a vector. */
    void (*depthwise)(const float *source, size_t step, const ptrdiff_t *taps, size_t tap_count,
                      const float *weights, size_t rows, size_t width, float *y,
                      const cm_finish *finish);
    /* Copies rows that lie `width` floats apart; see cm_row. */
    void (*copy_rows)(const cm_row *row, const float *from, size_t width, size_t rows, float *to);
    /* One channel; see cm_pooling.h. */
    void (*pool)(const cm_window *window, const float *x, float *y, float *space);
    /* The mean of so many numbers. */
    float (*mean)(const float *x, size_t count);
    /* y = x (k + alpha * the sum of squares of `size` channels)^-0.75 for `count` positions of
     * channels that are `step` floats apart. */
    void (*lrn)(const float *x, float *y, size_t channels, size_t step, size_t count, size_t size,
                float alpha, float k);
    /* out[i] = the bytes of x[i], x[i + step], ..., of up to 4 channels; the others 0. */
    void (*quantise)(unsigned channels, const float *x, size_t step, size_t count,
                     const cm_int8_grid *grid, uint32_t *out);
    /* As `tile`, of integers: a [four steps][row][quad] and at the end perhaps [row][two quads],
     * b [step][column]; an even number of steps; c words where no finish is given. */
    void (*int8_tile)(unsigned rows, unsigned vectors, size_t steps, const int8_t *a,
                      const uint32_t *b, float *c, ptrdiff_t step, int accumulate,
                      const cm_int8_extras *extras, const cm_int8_finish *finish);
    /* sums[2 o + r] = row o of weights times row r of x, both of so many bytes, a multiple of 64,
     * for up to 4 rows of weights and 2 of x. */
    void (*int8_dot)(unsigned outputs, unsigned rows, size_t bytes, const int8_t *weights,
                     const uint8_t *x, int32_t *sums);
    cm_wino_input *wino_input;
    cm_wino_output *wino_output;
} cm_engine;

extern const cm_engine cm_engine_scalar, cm_engine_avx2, cm_engine_avx512;

#endif
