/* Choice of quantization indices for error and bits, along the rows of a matrix. */
#ifndef CM_RDO_H
#define CM_RDO_H

#include <stddef.h>
#include <stdint.h>

#define CM_RDO_STATES 8
#define CM_RDO_TOP 32767

/* How values follow from indices k, and what an index costs. From state s the next one is
 * next[s][k & 1]; with one state it stays. Where the quantizers differ, the value is 2k, or
 * 2k - sign(k) where quantizer[s] is 1. */
typedef struct {
    unsigned states;
    int dependent;         /* whether the quantizers differ; else the value is k */
    const uint8_t *next;   /* [states][2] */
    const uint8_t *quantizer;
    const float *costs;    /* [classes][2][entries]: of |k|, what lies beyond costs as the last */
    int classes, entries;
} cm_rdo_code;

/* One row's columns that are looked at together. */
typedef struct {
    const float *values;    /* in steps, what earlier columns left to them included */
    const float *factor;    /* upper Cholesky factor of the inverse Gram matrix, at the diagonal */
    size_t stride;          /* of its rows */
    const float *weights;   /* 1 / its diagonal */
    const uint8_t *keep;    /* 0 where the index has to be 0; or NULL */
    const int32_t *levels;  /* of the columns; that of the row added and divided by 8: the class */
    int level;
    size_t width, commit;   /* columns looked at, and those decided on: 1 <= commit <= width */
} cm_rdo_window;

/* Bytes of working space for a window. */
size_t cm_rdo_space(unsigned states, size_t width);

/* Finds the indices of least squared error plus cost, as far as one survivor for each state tells:
 * the error of a column, divided by the factor's diagonal, is taken from the columns after it times
 * the factor's row. Writes `commit` indices and errors (divided by the diagonal); `state` is the
 * one before the window, then the one after what is decided. */
void cm_rdo_window_scalar(const cm_rdo_code *code, const cm_rdo_window *window, uint8_t *state,
                          int16_t *indices, float *errors, void *space);
#if defined(__x86_64__)
void cm_rdo_window_avx2(const cm_rdo_code *code, const cm_rdo_window *window, uint8_t *state,
                        int16_t *indices, float *errors, void *space);
#endif

#endif
