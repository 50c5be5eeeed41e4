/* Fully connected layers: y (rows, outputs) = x (rows, inner) times weights (outputs, inner).
 *
 * The weights are read once, in their order, and are not packed: for few rows the memory is what
 * limits. More rows are packed as the columns of a panel. Each result is summed in the same order
 * whatever the number of threads, and of rows above and below a bound. */
#ifndef CM_DENSE_H
#define CM_DENSE_H

#include "cm_engine.h"

/* Floats of the space that a run needs. */
size_t cm_dense_space(const cm_engine *engine, size_t rows, size_t inner);

/* finish: by output; its residual is of y's shape. y is none of the others. */
void cm_dense_run(const cm_engine *engine, unsigned threads, size_t rows, size_t inner,
                  size_t outputs, const float *weights, const float *x, float *y,
                  const cm_finish *finish, float *space);

#endif
