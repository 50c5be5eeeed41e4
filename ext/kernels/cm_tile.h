/* The inner kernel of every matrix product: a tile of C += A B with A and B packed.
 *
 * A is packed in panels of up to CM_TILE_ROWS rows, [k][rows]; B in panels of CM_TILE_COLUMNS,
 * [k][columns]. Both numbers belong to the level; cm_engine (cm_engine.h) tells them. */
#ifndef CM_TILE_H
#define CM_TILE_H

#include <stddef.h>

/* What follows the sum: y = rectify(sum * scale + bias + residual); NULL: not there. */
typedef struct {
    const float *scale, *bias; /* by row of the tile */
    const float *residual;     /* of the same layout as the tile */
    int rectify;
    float slope; /* of the negative values, where they are rectified */
} cm_finish;

/* Rows of the panel that starts at this one when `rows` are cut as evenly as may be. */
static inline size_t cm_panel_first(size_t panel, size_t rows, size_t panels) {
    return panel * rows / panels;
}

/* c (rows x columns, rows `step` floats apart) = a b, plus c where `accumulate` is set; `finish`
 * (or NULL) says what is done then. `vectors`: 1 computes the first half of the columns only. */
typedef void cm_tile(unsigned rows, unsigned vectors, size_t k, const float *a, const float *b,
                     float *c, ptrdiff_t step, int accumulate, const cm_finish *finish);

#endif
