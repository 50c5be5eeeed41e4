/* Pooling of one channel, for one level: down the columns, then along the row. */
#include <float.h>

INLINE TARGET V pooled(const int maximum, V x, V so_far) {
    return maximum ? larger(x, so_far) : add(x, so_far);
}

/* row[w] = the maximum, or the sum, of `rows` rows of x; nothing stands for what a NaN says. */
INLINE TARGET void pool_columns(const int maximum, const float *x, size_t rows, size_t width,
                                float *row) {
    V nothing = fill(maximum ? -FLT_MAX : 0);
    size_t w = 0;
    for (; w + LANES <= width; w += LANES) {
        V v = nothing;
        for (size_t r = 0; r < rows; r++) v = pooled(maximum, load(x + r * width + w), v);
        store(row + w, v);
    }
    for (; w < width; w++) {
        float v = maximum ? -FLT_MAX : 0;
        for (size_t r = 0; r < rows; r++) {
            float value = x[r * width + w];
            if (!maximum) v += value;
            else if (value > v) v = value;
        }
        row[w] = v;
    }
}

INLINE TARGET void pool_row(const int maximum, const size_t stride, const float *const *phases,
                            size_t kernel, size_t width, float rows, const float *columns,
                            int rectify, float *y) {
    for (size_t i = 0; i < width; i += LANES) {
        size_t at = width >= LANES && i + LANES > width ? width - LANES : i;
        V v = fill(maximum ? -FLT_MAX : 0);
        for (size_t k = 0; k < kernel; k++)
            v = pooled(maximum, load(phases[k % stride] + at + k / stride), v);
        if (!maximum) v = div_(v, mul(fill(rows), load(columns + at)));
        if (rectify) v = larger(fill(0), v);
        if (width >= LANES) {
            store(y + at, v);
        } else {
            float few[LANES];
            store(few, v);
            memcpy(y, few, width * sizeof *y);
        }
    }
}

INLINE TARGET void pool_plane(const cm_window *window, const int maximum, const size_t stride,
                              const float *x, float *y, float *space) {
    size_t height = window->size[0], width = window->size[1], pad = window->pad[1];
    size_t reach = (window->out[1] - 1) * stride + window->kernel[1];
    size_t length = pad + (width > reach ? width : reach) + LANES;
    float *row = space, *even = row + length, *odd = even + length / 2 + LANES;
    float *columns = odd + length / 2 + LANES;
    for (size_t i = 0; i < length; i++) row[i] = maximum ? -FLT_MAX : 0;
    for (size_t i = 0; i < window->out[1]; i++) {
        ptrdiff_t left = (ptrdiff_t)(i * stride) - (ptrdiff_t)pad;
        ptrdiff_t right = left + (ptrdiff_t)window->kernel[1];
        if (right > (ptrdiff_t)(width + pad)) right = (ptrdiff_t)(width + pad);
        columns[i] = (float)(right - left);
    }
    const float *phases[2] = {stride == 2 ? even : row, odd};
    for (size_t o = 0; o < window->out[0]; o++, y += window->out[1]) {
        ptrdiff_t top = (ptrdiff_t)(o * window->stride[0]) - (ptrdiff_t)window->pad[0];
        ptrdiff_t bottom = top + (ptrdiff_t)window->kernel[0];
        if (bottom > (ptrdiff_t)(height + window->pad[0]))
            bottom = (ptrdiff_t)(height + window->pad[0]);
        float rows = (float)(bottom - top);
        if (bottom > (ptrdiff_t)height) bottom = (ptrdiff_t)height;
        if (top < 0) top = 0;
        pool_columns(maximum, x + top * (ptrdiff_t)width,
                     bottom > top ? (size_t)(bottom - top) : 0, width, row + pad);
        if (stride == 2)
            for (size_t i = 0; i < length / 2; i++) {
                even[i] = row[2 * i];
                odd[i] = row[2 * i + 1];
            }
        pool_row(maximum, stride, phases, window->kernel[1], window->out[1], rows, columns,
                 window->rectify, y);
    }
}

/* Numbers that are summed in single precision, a few in each lane; the sums in double precision. */
#define MEAN_CHUNK (32 * LANES)

TARGET static float NAME(mean)(const float *x, size_t count) {
    double sum = 0;
    size_t i = 0;
    while (count - i >= LANES) {
        V v = fill(0);
        size_t end = count - i < MEAN_CHUNK ? count : i + MEAN_CHUNK;
        for (; i + LANES <= end; i += LANES) v = add(v, load(x + i));
        sum += (double)total(v);
    }
    for (; i < count; i++) sum += (double)x[i];
    return (float)(sum / (double)count);
}

TARGET static void NAME(pool)(const cm_window *window, const float *x, float *y, float *space) {
    if (window->maximum) {
        if (window->stride[1] == 2) pool_plane(window, 1, 2, x, y, space);
        else pool_plane(window, 1, 1, x, y, space);
    } else {
        if (window->stride[1] == 2) pool_plane(window, 0, 2, x, y, space);
        else pool_plane(window, 0, 1, x, y, space);
    }
}
