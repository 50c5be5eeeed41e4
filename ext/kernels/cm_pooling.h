/* Pooling of planes, max or average, with windows clipped as Caffe clips them. */
#ifndef CM_POOLING_H
#define CM_POOLING_H

#include "cm_engine.h"

/* Whether the kernels are meant for it: strides of 1 and 2, windows whose sums are short. */
int cm_pooling_suits(const cm_window *window);

/* Floats of the space that one thread needs. */
size_t cm_pooling_space(const cm_window *window);

/* y (planes, out) from x (planes, size); space for each thread. */
void cm_pooling_run(const cm_engine *engine, unsigned threads, size_t planes,
                    const cm_window *window, const float *x, float *y, float *space);

/* Local response normalisation across channels, beta 0.75: y = x (k + alpha / size * sum of squares
 * of the nearest channels)^-0.75 for x (images, channels, positions). */
void cm_lrn_run(const cm_engine *engine, unsigned threads, size_t images, size_t channels,
                size_t positions, size_t size, float alpha, float k, const float *x, float *y);

/* y = exp(x - max) over its sum, along the channels of x (images, channels, positions); y may be
 * x. */
void cm_softmax_run(unsigned threads, size_t images, size_t channels, size_t positions,
                    const float *x, float *y);

#endif
