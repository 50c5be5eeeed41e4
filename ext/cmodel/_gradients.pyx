# distutils: extra_compile_args = -ftree-vectorize -fvect-cost-model=dynamic
"""Backward passes of pooling."""

from cython.parallel cimport prange
from libc.float cimport FLT_MAX


cdef inline Py_ssize_t _min(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t _max(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef struct Pool:
    # `step` and `out_step`: from one gradient to the next, in the bottom's and in the top's.
    Py_ssize_t count, step, out_step
    Py_ssize_t h, w, out_h, out_w
    Py_ssize_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w


cdef Pool _pool(
    const float[:, :, :, ::1] gradient, float[:, :, :, ::1] out, kernel, stride, pad
) except *:
    cdef Pool p
    if gradient.shape[0] != out.shape[0] or gradient.shape[1] != out.shape[1]:
        raise ValueError("the arrays differ in their planes")
    p.count = out.shape[0]
    p.h, p.w = out.shape[2], out.shape[3]
    p.out_h, p.out_w = gradient.shape[2], gradient.shape[3]
    p.step = out.shape[1] * p.h * p.w
    p.out_step = out.shape[1] * p.out_h * p.out_w
    p.kernel_h, p.kernel_w = kernel
    p.stride_h, p.stride_w = stride
    p.pad_h, p.pad_w = pad
    return p


cdef void _max_plane(const float *x, const float *gradient, float *out, Pool *p) noexcept nogil:
    cdef Py_ssize_t oh, ow, h, w, top, bottom, left, right, best_at, d
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
            if best_at < 0:
                continue
            for d in range(p.count):
                out[d * p.step + best_at] += gradient[d * p.out_step + oh * p.out_w + ow]


def max_pool(
    const float[:, :, ::1] x, const float[:, :, :, ::1] gradient, float[:, :, :, ::1] out,
    kernel, stride, pad, int threads,
):
    """Add each window's gradient (D, planes, OH, OW) to out (D, planes, H, W) at the first maximum.

    x (planes, H, W) is what was pooled.
    """
    cdef Py_ssize_t planes = x.shape[0], i
    cdef Pool p = _pool(gradient, out, kernel, stride, pad)
    if planes != out.shape[1] or x.shape[1] != p.h or x.shape[2] != p.w:
        raise ValueError("the gradient has another shape than what was pooled")
    for i in prange(planes, nogil=True, num_threads=threads):
        _max_plane(&x[i, 0, 0], &gradient[0, i, 0, 0], &out[0, i, 0, 0], &p)


cdef void _average_plane(const float *gradient, float *out, Pool *p) noexcept nogil:
    cdef Py_ssize_t oh, ow, h, w, top, bottom, left, right
    cdef float share
    for oh in range(p.out_h):
        for ow in range(p.out_w):
            top = oh * p.stride_h - p.pad_h
            left = ow * p.stride_w - p.pad_w
            bottom = _min(top + p.kernel_h, p.h + p.pad_h)
            right = _min(left + p.kernel_w, p.w + p.pad_w)
            # The padding counts. An empty window has no element to give anything to.
            share = <float>((bottom - top) * (right - left))
            share = gradient[oh * p.out_w + ow] / share
            for h in range(_max(top, 0), _min(bottom, p.h)):
                for w in range(_max(left, 0), _min(right, p.w)):
                    out[h * p.w + w] += share


def average_pool(
    const float[:, :, :, ::1] gradient, float[:, :, :, ::1] out, kernel, stride, pad, int threads
):
    """Add each window's gradient (D, planes, OH, OW) in equal parts to out (D, planes, H, W)."""
    cdef Pool p = _pool(gradient, out, kernel, stride, pad)
    cdef Py_ssize_t planes = out.shape[1], count = p.count, i
    for i in prange(count * planes, nogil=True, num_threads=threads):
        _average_plane(
            &gradient[i // planes, i % planes, 0, 0], &out[i // planes, i % planes, 0, 0], &p
        )
