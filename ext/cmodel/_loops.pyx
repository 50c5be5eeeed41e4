# distutils: extra_compile_args = -ftree-vectorize -fvect-cost-model=dynamic
"""The executor's other hot loops: pooling, LRN, per-channel affine maps."""

from cython.parallel cimport prange
from libc.float cimport FLT_MAX
from libc.math cimport powf, sqrtf

# Positions that one unit of a loop across channels handles, on its stack.
DEF CHUNK = 64


cdef inline Py_ssize_t _min(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t _max(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef struct Pool:
    Py_ssize_t h, w, out_h, out_w
    Py_ssize_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w


cdef Pool _pool(
    Py_ssize_t planes, x, y, kernel, stride, pad
) except *:
    cdef Pool p
    if x.shape[0] != planes or y.shape[0] != planes:
        raise ValueError("the arrays differ in their planes")
    p.h, p.w = x.shape[1], x.shape[2]
    p.out_h, p.out_w = y.shape[1], y.shape[2]
    p.kernel_h, p.kernel_w = kernel
    p.stride_h, p.stride_w = stride
    p.pad_h, p.pad_w = pad
    return p


cdef void _max_plane(const float *x, float *y, float *row, Pool *p) noexcept nogil:
    cdef Py_ssize_t oh, ow, h, w, top, bottom, left, right
    cdef const float *source
    cdef float best
    for oh in range(p.out_h):
        top = oh * p.stride_h - p.pad_h
        bottom = _min(top + p.kernel_h, p.h)
        top = _max(top, 0)
        # First down the columns, which vectorises, then along the row.
        for w in range(p.w):
            row[w] = -FLT_MAX
        for h in range(top, bottom):
            source = x + h * p.w
            for w in range(p.w):
                row[w] = source[w] if source[w] > row[w] else row[w]
        for ow in range(p.out_w):
            left = ow * p.stride_w - p.pad_w
            right = _min(left + p.kernel_w, p.w)
            left = _max(left, 0)
            best = -FLT_MAX
            for w in range(left, right):
                if row[w] > best:
                    best = row[w]
            y[oh * p.out_w + ow] = best


cdef void _max_plane_positions(
    const float *x, float *y, float *positions, Pool *p
) noexcept nogil:
    cdef Py_ssize_t oh, ow, h, w, top, bottom, left, right, best_at
    cdef float best
    for oh in range(p.out_h):
        top = oh * p.stride_h - p.pad_h
        bottom = _min(top + p.kernel_h, p.h)
        top = _max(top, 0)
        for ow in range(p.out_w):
            left = ow * p.stride_w - p.pad_w
            right = _min(left + p.kernel_w, p.w)
            left = _max(left, 0)
            best = -FLT_MAX
            best_at = -1
            for h in range(top, bottom):
                for w in range(left, right):
                    if x[h * p.w + w] > best:
                        best = x[h * p.w + w]
                        best_at = h * p.w + w
            y[oh * p.out_w + ow] = best
            positions[oh * p.out_w + ow] = <float>best_at


def max_pool(
    const float[:, :, ::1] x, float[:, :, ::1] y, positions, kernel, stride, pad,
    float[:, ::1] rows, int threads,
):
    """Largest value of each window of x (planes, H, W); `positions` is an array as y or None.

    `rows` is scratch space (planes, W).
    """
    cdef Py_ssize_t planes = x.shape[0], i
    cdef Pool p = _pool(planes, x, y, kernel, stride, pad)
    cdef float[:, :, ::1] places
    if positions is not None:
        places = positions
        if places.shape[0] != planes or places.shape[1] != p.out_h or places.shape[2] != p.out_w:
            raise ValueError("the positions have another shape than the maxima")
        for i in prange(planes, nogil=True, num_threads=threads):
            _max_plane_positions(&x[i, 0, 0], &y[i, 0, 0], &places[i, 0, 0], &p)
        return
    if rows.shape[0] != planes or rows.shape[1] != p.w:
        raise ValueError("the scratch space has another shape")
    for i in prange(planes, nogil=True, num_threads=threads):
        _max_plane(&x[i, 0, 0], &y[i, 0, 0], &rows[i, 0], &p)


cdef void _average_plane(const float *x, float *y, double *row, Pool *p) noexcept nogil:
    cdef Py_ssize_t oh, ow, h, w, top, bottom, left, right, area
    cdef const float *source
    cdef double total
    for oh in range(p.out_h):
        top = oh * p.stride_h - p.pad_h
        bottom = _min(top + p.kernel_h, p.h + p.pad_h)
        # First down the columns, as for the maximum.
        for w in range(p.w):
            row[w] = 0
        for h in range(_max(top, 0), _min(bottom, p.h)):
            source = x + h * p.w
            for w in range(p.w):
                row[w] += source[w]
        for ow in range(p.out_w):
            left = ow * p.stride_w - p.pad_w
            right = _min(left + p.kernel_w, p.w + p.pad_w)
            # The padding counts; a window beyond it has no area and gives NaN, as in Caffe.
            area = (bottom - top) * (right - left)
            total = 0
            for w in range(_max(left, 0), _min(right, p.w)):
                total += row[w]
            y[oh * p.out_w + ow] = <float>total / <float>area


def average_pool(
    const float[:, :, ::1] x, float[:, :, ::1] y, kernel, stride, pad,
    double[:, ::1] rows, int threads,
):
    """Mean of each window of x (planes, H, W); `rows` is scratch space (planes, W)."""
    cdef Py_ssize_t planes = x.shape[0], i
    cdef Pool p = _pool(planes, x, y, kernel, stride, pad)
    if rows.shape[0] != planes or rows.shape[1] != p.w:
        raise ValueError("the scratch space has another shape")
    for i in prange(planes, nogil=True, num_threads=threads):
        _average_plane(&x[i, 0, 0], &y[i, 0, 0], &rows[i, 0], &p)


cdef inline float _power(float scale, float beta) noexcept nogil:
    # Two square roots are quicker and closer than powf for the usual exponent.
    cdef float root
    if beta == 0.75:
        root = sqrtf(scale)
        return 1 / (root * sqrtf(root))
    return powf(scale, -beta)


cdef void _across_chunk(
    const float *x, float *y, Py_ssize_t channels, Py_ssize_t stride, Py_ssize_t count,
    Py_ssize_t size, float alpha, float beta, float k,
) noexcept nogil:
    cdef double[CHUNK] total
    cdef Py_ssize_t c, i, half = size // 2, ahead, behind
    cdef float value
    for i in range(count):
        total[i] = 0
    for c in range(_min(half, channels)):
        for i in range(count):
            value = x[c * stride + i]
            total[i] += <double>value * value
    for c in range(channels):
        ahead, behind = c + half, c - half - 1
        if ahead < channels:
            for i in range(count):
                value = x[ahead * stride + i]
                total[i] += <double>value * value
        if behind >= 0:
            for i in range(count):
                value = x[behind * stride + i]
                total[i] -= <double>value * value
        for i in range(count):
            y[c * stride + i] = x[c * stride + i] * _power(
                k + alpha / size * <float>_positive(total[i]), beta
            )


cdef inline double _positive(double value) noexcept nogil:
    # Taking squares away again may leave a residue below zero; a NaN stays.
    return 0 if value < 0 else value


def lrn_across(
    const float[:, :, ::1] x, float[:, :, ::1] y, Py_ssize_t size,
    float alpha, float beta, float k, int threads,
):
    """x (images, C, positions) times (k + alpha / size * sum of squares over channels)^-beta."""
    cdef Py_ssize_t images = x.shape[0], channels = x.shape[1], positions = x.shape[2]
    cdef Py_ssize_t chunks = (positions + CHUNK - 1) // CHUNK
    cdef Py_ssize_t unit, image, first
    if y.shape[0] != images or y.shape[1] != channels or y.shape[2] != positions:
        raise ValueError("the arrays differ in shape")
    for unit in prange(images * chunks, nogil=True, num_threads=threads):
        image = unit // chunks
        first = unit % chunks * CHUNK
        _across_chunk(
            &x[image, 0, first], &y[image, 0, first], channels, positions,
            _min(CHUNK, positions - first), size, alpha, beta, k,
        )


cdef void _within_plane(
    const float *x, float *y, Py_ssize_t h, Py_ssize_t w, Py_ssize_t size,
    float alpha, float beta,
) noexcept nogil:
    cdef Py_ssize_t i, j, a, b, half = size // 2
    cdef double total
    cdef float area = <float>size * <float>size
    for i in range(h):
        for j in range(w):
            total = 0
            for a in range(_max(i - half, 0), _min(i + half + 1, h)):
                for b in range(_max(j - half, 0), _min(j + half + 1, w)):
                    total += <double>x[a * w + b] * x[a * w + b]
            y[i * w + j] = x[i * w + j] * _power(1 + alpha * (<float>total / area), beta)


def lrn_within(
    const float[:, :, ::1] x, float[:, :, ::1] y, Py_ssize_t size,
    float alpha, float beta, int threads,
):
    """x (planes, H, W) times (1 + alpha * mean of squares in the padded window)^-beta."""
    cdef Py_ssize_t planes = x.shape[0], i
    if y.shape[0] != planes or y.shape[1] != x.shape[1] or y.shape[2] != x.shape[2]:
        raise ValueError("the arrays differ in shape")
    for i in prange(planes, nogil=True, num_threads=threads):
        _within_plane(&x[i, 0, 0], &y[i, 0, 0], x.shape[1], x.shape[2], size, alpha, beta)


cdef void _affine_row(
    const float *x, float *y, Py_ssize_t count, float shift, float factor, float offset
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        y[i] = (x[i] - shift) * factor + offset


def affine(
    const float[:, :, ::1] x, const float[::1] shift, const float[::1] factor,
    const float[::1] offset, float[:, :, ::1] y, int threads,
):
    """y = (x - shift) * factor + offset, by the middle axis of x (outer, C, inner); y may be x."""
    cdef Py_ssize_t outer = x.shape[0], channels = x.shape[1], inner = x.shape[2]
    cdef Py_ssize_t unit, c
    if y.shape[0] != outer or y.shape[1] != channels or y.shape[2] != inner:
        raise ValueError("the arrays differ in shape")
    if not shift.shape[0] == factor.shape[0] == offset.shape[0] == channels:
        raise ValueError("an operand does not fit the channels")
    for unit in prange(outer * channels, nogil=True, num_threads=threads):
        c = unit % channels
        _affine_row(
            &x[unit // channels, c, 0], &y[unit // channels, c, 0], inner,
            shift[c], factor[c], offset[c],
        )
