/* What the steps compute, in float32. Sizes were checked when the network was planned. */
#include "run_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { TILE = 256, TOGETHER = 4 }; /* columns and channels of a convolution that are summed up at once */

typedef struct {
    size_t inputs, height, width;          /* of a group */
    size_t outputs, out_height, out_width; /* of a group */
    const window *window;
} plane;

/* Of the columns `from` to before `to` of a row, those that see the input at column x of the kernel. */
static void clip_columns(const plane *p, int64_t shift, size_t from, size_t to, size_t *first, size_t *last) {
    int64_t stride = (int64_t)p->window->stride[1], width = (int64_t)p->width;
    int64_t low = shift < 0 ? (-shift + stride - 1) / stride : 0;
    int64_t high = shift >= width ? 0 : (width - 1 - shift) / stride + 1;
    *first = low > (int64_t)from ? (low < (int64_t)to ? (size_t)low : to) : from;
    *last = high < (int64_t)to ? (high > 0 ? (size_t)high : 0) : to;
}

/* Add to up to four rows of outputs, from one row of the input. */
static void add_row(const float *x, size_t stride, size_t columns, const float *w, size_t rows, float (*sums)[TILE]) {
    if (rows == TOGETHER && stride == 1) {
        float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        float *restrict s0 = sums[0], *restrict s1 = sums[1], *restrict s2 = sums[2], *restrict s3 = sums[3];
        for (size_t i = 0; i < columns; i++) {
            float v = x[i];
            s0[i] += w0 * v;
            s1[i] += w1 * v;
            s2[i] += w2 * v;
            s3[i] += w3 * v;
        }
        return;
    }
    for (size_t k = 0; k < rows; k++)
        for (size_t i = 0; i < columns; i++)
            sums[k][i] += w[k] * x[i * stride];
}

/* Outputs `o` to before `o + rows` of a group in row `oy`, columns `from` to before `to`. */
static void convolve_tile(const plane *p, const float *x, const float *weights, const float *bias, size_t o,
                          size_t rows, size_t oy, size_t from, size_t to, float *y) {
    const window *window = p->window;
    size_t area = window->kernel[0] * window->kernel[1], depth = p->inputs * area;
    float sums[TOGETHER][TILE];
    for (size_t k = 0; k < rows; k++)
        for (size_t i = 0; i < to - from; i++)
            sums[k][i] = bias == NULL ? 0 : bias[o + k];
    for (size_t ky = 0; ky < window->kernel[0]; ky++) {
        int64_t iy = (int64_t)oy * (int64_t)window->stride[0] + (int64_t)ky * (int64_t)window->dilation[0] -
                     (int64_t)window->pad[0];
        if (iy < 0 || iy >= (int64_t)p->height)
            continue;
        for (size_t kx = 0; kx < window->kernel[1]; kx++) {
            int64_t shift = (int64_t)kx * (int64_t)window->dilation[1] - (int64_t)window->pad[1];
            size_t first, last;
            clip_columns(p, shift, from, to, &first, &last);
            if (first >= last)
                continue;
            size_t at = (size_t)iy * p->width + (size_t)((int64_t)(first * window->stride[1]) + shift);
            const float *w = weights + o * depth + ky * window->kernel[1] + kx;
            float(*start)[TILE] = (float(*)[TILE])&sums[0][first - from];
            for (size_t c = 0; c < p->inputs; c++) {
                float column[TOGETHER];
                for (size_t k = 0; k < rows; k++)
                    column[k] = w[k * depth + c * area];
                add_row(x + c * p->height * p->width + at, window->stride[1], last - first, column, rows, start);
            }
        }
    }
    for (size_t k = 0; k < rows; k++)
        memcpy(y + ((o + k) * p->out_height + oy) * p->out_width + from, sums[k], (to - from) * sizeof *y);
}

static void convolve(const cmodel_net *net, const step *step, const blob *bottom, const blob *top, const float *x,
                     float *y) {
    const float *weights = tensor_data(net, step->tensors[0]), *bias = tensor_data(net, step->tensors[1]);
    const size_t *in = bottom->shape.extents, *out = top->shape.extents;
    plane p = {in[1] / step->groups, in[2], in[3], out[1] / step->groups, out[2], out[3], &step->window};
    const window *window = &step->window;
    size_t area = window->kernel[0] * window->kernel[1];
    if (area == 1 && window->stride[0] == 1 && window->stride[1] == 1 && window->pad[0] + window->pad[1] == 0) {
        p.width = p.out_width = in[2] * in[3]; /* pixels see only themselves: one long row */
        p.height = p.out_height = 1;
    }
    for (size_t g = 0; g < step->groups; g++) {
        for (size_t o = 0; o < p.outputs; o += TOGETHER)
            for (size_t oy = 0; oy < p.out_height; oy++)
                for (size_t from = 0; from < p.out_width; from += TILE) {
                    size_t rows = p.outputs - o < TOGETHER ? p.outputs - o : TOGETHER;
                    size_t to = p.out_width - from < TILE ? p.out_width : from + TILE;
                    convolve_tile(&p, x, weights, bias, o, rows, oy, from, to, y);
                }
        x += p.inputs * in[2] * in[3];
        y += p.outputs * out[2] * out[3];
        weights += p.outputs * p.inputs * area;
        bias = bias == NULL ? NULL : bias + p.outputs;
    }
}

static float dot(const float *a, const float *b, size_t count, size_t step) {
    float sums[4] = {0, 0, 0, 0};
    size_t i = 0;
    for (; count - i >= 4; i += 4)
        for (size_t k = 0; k < 4; k++)
            sums[k] += a[i + k] * b[(i + k) * step];
    for (; i < count; i++)
        sums[0] += a[i] * b[i * step];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

static void multiply_matrix(const cmodel_net *net, const step *step, const blob *bottom, const blob *top,
                            const float *x, float *y) {
    const float *weights = tensor_data(net, step->tensors[0]), *bias = tensor_data(net, step->tensors[1]);
    size_t rows = elements_between(&bottom->shape, 0, step->axis);
    size_t depth = bottom->shape.elements / rows, outputs = top->shape.extents[step->axis];
    for (size_t row = 0; row < rows; row++)
        for (size_t o = 0; o < outputs; o++) {
            const float *w = step->transposed ? weights + o : weights + o * depth;
            float sum = dot(x + row * depth, w, depth, step->transposed ? outputs : 1);
            y[row * outputs + o] = sum + (bias == NULL ? 0 : bias[o]);
        }
}

/* The window of output `at` along an axis: what of it is in the input, and how much Caffe divides by. */
static void pooled_range(const step *step, int axis, size_t size, size_t at, size_t *from, size_t *to, size_t *whole) {
    size_t pad = step->window.pad[axis], start = at * step->window.stride[axis]; /* in the padded input */
    size_t end = start + step->window.kernel[axis];
    if (end > size + 2 * pad)
        end = size + 2 * pad;
    *whole = end - start;
    *from = start < pad ? 0 : start - pad;
    *to = end < pad ? 0 : end - pad < size ? end - pad : size;
}

static void pool(const step *step, const blob *bottom, const blob *top, const float *x, float *y) {
    const size_t *in = bottom->shape.extents, *out = top->shape.extents;
    bool largest = step->kind == MAX_POOLING;
    for (size_t c = 0; c < in[1]; c++, x += in[2] * in[3])
        for (size_t oy = 0; oy < out[2]; oy++)
            for (size_t ox = 0; ox < out[3]; ox++) {
                size_t upper, lower, left, right, height, width;
                pooled_range(step, 0, in[2], oy, &upper, &lower, &height);
                pooled_range(step, 1, in[3], ox, &left, &right, &width);
                float value = largest ? -FLT_MAX : 0;
                for (size_t iy = upper; iy < lower; iy++)
                    for (size_t ix = left; ix < right; ix++) {
                        float one = x[iy * in[3] + ix];
                        value = !largest ? value + one : one > value ? one : value;
                    }
                *y++ = largest ? value : value / ((float)height * (float)width);
            }
}

static void normalize(const step *step, const blob *bottom, const float *x, float *y) {
    size_t outer = elements_between(&bottom->shape, 0, step->axis), classes = bottom->shape.extents[step->axis];
    size_t inner = bottom->shape.elements / outer / classes;
    for (size_t i = 0; i < outer; i++)
        for (size_t k = 0; k < inner; k++) {
            size_t start = i * classes * inner + k, end = start + classes * inner;
            float largest = x[start], sum = 0;
            for (size_t at = start; at < end; at += inner)
                largest = x[at] > largest ? x[at] : largest;
            for (size_t at = start; at < end; at += inner)
                sum += y[at] = expf(x[at] - largest);
            for (size_t at = start; at < end; at += inner)
                y[at] /= sum;
        }
}

static void concatenate(const cmodel_net *net, const step *step, const blob *top, float *y) {
    size_t outer = elements_between(&top->shape, 0, step->axis), all = top->shape.elements / outer, done = 0;
    for (size_t i = 0; i < step->bottom_count; i++) {
        size_t bottom = net->bottoms[step->first_bottom + i], some = net->blobs[bottom].shape.elements / outer;
        for (size_t k = 0; k < outer; k++)
            memcpy(y + k * all + done, blob_data(net, bottom) + k * some, some * sizeof *y);
        done += some;
    }
}

void run_step(const cmodel_net *net, const step *step) {
    const size_t *bottoms = &net->bottoms[step->first_bottom];
    const blob *bottom = &net->blobs[bottoms[0]], *top = &net->blobs[step->top];
    const float *x = blob_data(net, bottoms[0]);
    float *y = blob_data(net, step->top);
    switch (step->kind) {
    case CONVOLUTION:
        convolve(net, step, bottom, top, x, y);
        break;
    case INNER_PRODUCT:
        multiply_matrix(net, step, bottom, top, x, y);
        break;
    case MAX_POOLING:
    case AVERAGE_POOLING:
        pool(step, bottom, top, x, y);
        break;
    case RELU:
        for (size_t i = 0; i < top->shape.elements; i++)
            y[i] = x[i] < 0 ? x[i] * step->slope : x[i];
        break;
    case SOFTMAX:
        normalize(step, bottom, x, y);
        break;
    case CONCAT:
        concatenate(net, step, top, y);
        break;
    case SUM:
        for (size_t i = 0; i < top->shape.elements; i++) {
            float sum = x[i];
            for (size_t k = 1; k < step->bottom_count; k++)
                sum += blob_data(net, bottoms[k])[i];
            y[i] = sum;
        }
        break;
    }
}
