/* Fully connected layers whose weights are kept compressed.
 *
 * The memory limits what a row of weights costs, so fewer bytes are less time. Of a sparse matrix
 * only the stored weights are read, each with the 16-bit number of its column: for one row of x,
 * which is gathered from, or for panels of several. Of a matrix with a codebook of up to 16 entries
 * four bits are read for each weight (cm_table.h) and looked up in registers. Sparse weights may be
 * indices too, a byte each. Each result is summed in an order that does not depend on the number of
 * threads. */
#ifndef CM_CODED_H
#define CM_CODED_H

#include "cm_engine.h"

/* Rows of x at most, where the matrix is not sparse. */
#define CM_CODED_ROWS 4
/* Columns of a sparse matrix at most. */
#define CM_CODED_COLUMNS 65536

/* Bytes of the packed indices of a matrix that is not sparse. */
size_t cm_coded_bytes(size_t outputs, size_t inner);

/* Packs indices (outputs, inner), all below 16. */
void cm_coded_pack(size_t outputs, size_t inner, const uint8_t *indices, uint8_t *packed);

/* Floats of the space that a run needs. */
size_t cm_coded_space(const cm_engine *engine, size_t rows, const cm_coded *matrix);

/* y (rows, outputs) = x (rows, inner) times the matrix. finish: by output; its residual is of y's
 * shape. y is none of the others. */
void cm_coded_run(const cm_engine *engine, unsigned threads, size_t rows, const cm_coded *matrix,
                  const float *x, float *y, const cm_finish *finish, float *space);

#endif
