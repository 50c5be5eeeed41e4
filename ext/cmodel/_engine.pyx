"""The engine's own kernels, in C: one module, since they share one pool of threads."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

import numpy as np

from cmodel._simd cimport CM_SIMD_SCALAR, cm_simd_use_engine, current

cdef extern from "cm_engine.h" nogil:
    ctypedef struct cm_finish:
        const float *scale
        const float *bias
        const float *residual
        int rectify
        float slope
    ctypedef struct cm_engine:
        unsigned lanes
        unsigned rows
        void (*tile)(
            unsigned rows, unsigned vectors, size_t k, const float *a, const float *b, float *c,
            ptrdiff_t step, int accumulate, const cm_finish *finish
        ) noexcept nogil

cdef extern from "cm_simd.h" nogil:
    ctypedef struct cm_kernels:
        const cm_engine *engine
    cm_kernels cm_kernel

cdef extern from "cm_conv.h" nogil:
    ctypedef struct cm_geometry:
        size_t images
        size_t groups
        size_t channels
        size_t outputs
        size_t size[3]
        size_t out[3]
        size_t kernel[3]
        size_t stride[3]
        size_t pad[3]
        size_t dilation[3]
    ctypedef struct cm_conv:
        int depthwise
    int cm_conv_plan(
        cm_conv *conv, const cm_geometry *geometry, const cm_engine *engine, unsigned threads
    )
    void cm_conv_free(cm_conv *conv)
    size_t cm_conv_space(const cm_conv *conv)
    void cm_conv_pack(
        const cm_engine *engine, size_t groups, size_t outputs, size_t inner,
        const float *weights, float *packed
    )
    void cm_conv_run(
        const cm_conv *conv, const float *packed, const float *x, float *y,
        const cm_finish *finish, float *space
    )

cdef extern from "cm_wino.h" nogil:
    ctypedef struct cm_wino:
        pass
    int cm_wino_plan(
        cm_wino *wino, const cm_geometry *geometry, size_t size, const cm_engine *engine,
        unsigned threads
    )
    size_t cm_wino_space(const cm_wino *wino)
    void cm_wino_pack(
        const cm_engine *engine, size_t groups, size_t outputs, size_t channels, size_t kernel,
        size_t size, const float *weights, float *packed
    )
    void cm_wino_run(
        const cm_wino *wino, const float *packed, const float *x, float *y,
        const cm_finish *finish, float *space
    )

cdef extern from "cm_dense.h" nogil:
    size_t cm_dense_space(const cm_engine *engine, size_t rows, size_t inner)
    void cm_dense_run(
        const cm_engine *engine, unsigned threads, size_t rows, size_t inner, size_t outputs,
        const float *weights, const float *x, float *y, const cm_finish *finish, float *space
    )

cdef extern from "cm_pooling.h" nogil:
    ctypedef struct cm_window:
        size_t size[2]
        size_t out[2]
        size_t kernel[2]
        size_t stride[2]
        size_t pad[2]
        int maximum
        int rectify
    int cm_pooling_suits(const cm_window *window)
    size_t cm_pooling_space(const cm_window *window)
    void cm_pooling_run(
        const cm_engine *engine, unsigned threads, size_t planes, const cm_window *window,
        const float *x, float *y, float *space
    )
    void cm_lrn_run(
        const cm_engine *engine, unsigned threads, size_t images, size_t channels,
        size_t positions, size_t size, float alpha, float k, const float *x, float *y
    )
    void cm_softmax_run(
        unsigned threads, size_t images, size_t channels, size_t positions, const float *x, float *y
    )

cm_simd_use_engine(current())

cdef enum:
    CM_MEMORY = 5


def available():
    """Whether the kernels are quicker here than BLAS: they are written for vectors."""
    return current() != CM_SIMD_SCALAR


def run_inner_kernel(Py_ssize_t repeats):
    """Run the inner kernel on data in the first-level cache; return how many operations it did."""
    cdef const cm_engine *engine = cm_kernel.engine
    cdef size_t rows = engine.rows, columns = 2 * engine.lanes, inner = 128
    cdef float[::1] data = np.ones(inner * (rows + columns) + rows * columns, np.float32)
    cdef float *b = &data[0] + rows * inner
    cdef Py_ssize_t _i
    with nogil:
        for _i in range(repeats):
            engine.tile(
                <unsigned>rows, 2, inner, &data[0], b, b + columns * inner,
                <ptrdiff_t>columns, 0, NULL
            )
    return 2 * repeats * rows * columns * inner


cdef int _sizes(size_t *target, values) except -1:
    cdef int i
    if len(values) != 3:
        raise ValueError("three spatial axes are needed")
    for i in range(3):
        target[i] = values[i]
    return 0


cdef cm_geometry _geometry(
    images, groups, channels, outputs, size, out, kernel, stride, pad, dilation
) except *:
    cdef cm_geometry g
    g.images, g.groups, g.channels, g.outputs = images, groups, channels, outputs
    _sizes(g.size, size)
    _sizes(g.out, out)
    _sizes(g.kernel, kernel)
    _sizes(g.stride, stride)
    _sizes(g.pad, pad)
    _sizes(g.dilation, dilation)
    return g


cdef size_t _volume(const size_t *sizes) noexcept nogil:
    return sizes[0] * sizes[1] * sizes[2]


cdef void _count(Layer layer, const cm_geometry *g) noexcept:
    """Set the floats that a convolution reads and writes."""
    cdef size_t images = g.images * g.groups
    layer.reads = images * g.channels * _volume(g.size)
    layer.writes = images * g.outputs * _volume(g.out)


cdef int _check(int status) except -1:
    if status == CM_MEMORY:
        raise MemoryError("no memory for the plan of a layer")
    if status:
        raise ValueError("the sizes do not fit the kernel")
    return 0


def pack(const float[:, ::1] weights, Py_ssize_t groups):
    """Return the weights (groups * outputs, inner) in the order that Convolution reads."""
    cdef Py_ssize_t rows = weights.shape[0], inner = weights.shape[1]
    packed = np.empty(rows * inner, np.float32)
    cdef float[::1] target = packed
    if rows % groups:
        raise ValueError("the weights do not fit the groups")
    with nogil:
        cm_conv_pack(
            cm_kernel.engine, groups, rows // groups, inner, &weights[0, 0], &target[0]
        )
    return packed


def pack_winograd(
    const float[:, ::1] weights, Py_ssize_t groups, Py_ssize_t kernel, Py_ssize_t size
):
    """Return the weights (groups * outputs, channels * kernel**2) as Winograd reads them.

    size : rows and columns of its tiles, 6 or 4.
    """
    cdef Py_ssize_t rows = weights.shape[0], channels = weights.shape[1] // (kernel * kernel)
    if size not in (4, 6):
        raise ValueError("tiles have 4 or 6 rows")
    packed = np.empty(rows * channels * size * size, np.float32)
    cdef float[::1] target = packed
    if rows % groups or channels * kernel * kernel != weights.shape[1] or kernel not in (3, 5):
        raise ValueError("the weights do not fit the groups or the kernel")
    with nogil:
        cm_wino_pack(
            cm_kernel.engine, groups, rows // groups, channels, kernel, size, &weights[0, 0],
            &target[0]
        )
    return packed


cdef class Finish:
    """What follows a sum: times `scale`, plus `bias`, plus a residual, then a ReLU with `slope`.

    scale and bias are by output, or None; slope None: no ReLU.
    """

    cdef cm_finish c
    cdef const float[::1] scale, bias

    def __init__(self, outputs, scale, bias, slope):
        self.c.residual = NULL
        self.c.scale = self.c.bias = NULL
        for values in (scale, bias):
            if values is not None and len(values) != outputs:
                raise ValueError("the factors or the offsets do not fit the outputs")
        if scale is not None:
            self.scale = scale
            self.c.scale = &self.scale[0]
        if bias is not None:
            self.bias = bias
            self.c.bias = &self.bias[0]
        self.c.rectify = slope is not None
        self.c.slope = slope or 0.0


cdef class Layer:
    """A layer of fixed shapes: reads `reads` floats, writes `writes`, computes in `space`.

    kernel : what computes it, in words.
    """

    cdef readonly size_t reads, writes, space
    cdef readonly str kernel

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        pass

    def run(self, x, y, residual, space):
        """Fill y from x, both flat; residual is of y's shape or None.

        space: at least `space` floats, starting on a cache line.
        """
        Program([(self, x, y, residual)], space).run()


cdef struct cm_call:
    void *layer
    const float *x
    const float *residual
    float *y


cdef class Program:
    """Layers bound to arrays, run one after another without coming back to Python.

    calls : (layer, x, y, residual or None), the arrays flat.
    space : as many floats as any of the layers needs, starting on a cache line.
    """

    cdef cm_call *calls
    cdef size_t count
    cdef float *space
    cdef list held

    def __init__(self, calls, float[::1] space):
        cdef Layer layer
        cdef const float[::1] x, added
        cdef float[::1] y
        cdef cm_call *call
        self.held = [space]
        self.space = &space[0] if space.shape[0] else NULL
        if <uintptr_t>self.space % 64:
            raise ValueError("the space does not start on a cache line")
        self.calls = <cm_call *>malloc(max(len(calls), 1) * sizeof(cm_call))
        if self.calls == NULL:
            raise MemoryError("no memory for the plan of a net")
        for layer, x, y, residual in calls:
            call = &self.calls[self.count]
            if (
                <size_t>x.shape[0] != layer.reads
                or <size_t>y.shape[0] != layer.writes
                or <size_t>space.shape[0] < layer.space
            ):
                raise ValueError("an array has another size than planned")
            call.layer, call.x, call.y, call.residual = <void *>layer, &x[0], &y[0], NULL
            self.held += [layer, x, y]
            if residual is not None:
                added = residual
                if added.shape[0] != y.shape[0]:
                    raise ValueError("the residual has another size than the result")
                call.residual = &added[0]
                self.held.append(added)
            self.count += 1

    def __dealloc__(self):
        free(self.calls)

    def run(self):
        """Run the layers."""
        cdef size_t i
        cdef cm_call *call
        with nogil:
            for i in range(self.count):
                call = &self.calls[i]
                (<Layer>call.layer).compute(call.x, call.y, call.residual, self.space)


cdef class Convolution(Layer):
    """A convolution of fixed shapes: the plain sum, or Winograd's filtering.

    winograd : rows and columns of the tiles, 6 or 4; 0: the plain sum.
    The weights are as `pack`, or `pack_winograd`, returns them.
    """

    cdef cm_conv plain
    cdef cm_wino filtering
    cdef bint winograd
    cdef cm_geometry g
    cdef Finish finish
    cdef const float[::1] packed

    def __init__(
        self, images, groups, channels, size, out, kernel, stride, pad, dilation,
        packed, outputs, finish, winograd, threads,
    ):
        self.g = _geometry(
            images, groups, channels, outputs, size, out, kernel, stride, pad, dilation
        )
        self.finish = finish
        self.packed = packed
        self.winograd = winograd
        cdef size_t inner = self.g.channels * _volume(self.g.kernel)
        if winograd:
            inner = self.g.channels * <size_t>(winograd * winograd)
            _check(cm_wino_plan(&self.filtering, &self.g, winograd, cm_kernel.engine, threads))
            self.space = cm_wino_space(&self.filtering)
            self.kernel = f"Winograd, tiles {winograd}x{winograd}"
        else:
            _check(cm_conv_plan(&self.plain, &self.g, cm_kernel.engine, threads))
            self.space = cm_conv_space(&self.plain)
            self.kernel = "depthwise" if self.plain.depthwise else "convolution"
        if <size_t>self.packed.shape[0] != self.g.groups * self.g.outputs * inner:
            raise ValueError("the weights do not fit the kernel")
        _count(self, &self.g)

    def __dealloc__(self):
        cm_conv_free(&self.plain)

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cdef cm_finish finish = self.finish.c
        finish.residual = residual
        if self.winograd:
            cm_wino_run(&self.filtering, &self.packed[0], x, y, &finish, space)
        else:
            cm_conv_run(&self.plain, &self.packed[0], x, y, &finish, space)


cdef class Dense(Layer):
    """A fully connected layer of fixed shapes; weights (outputs, inner)."""

    cdef Finish finish
    cdef const float[:, ::1] weights
    cdef size_t rows
    cdef unsigned threads

    def __init__(self, rows, weights, finish, threads):
        self.kernel = "dense"
        self.rows = rows
        self.weights = weights
        self.finish = finish
        self.threads = threads
        self.space = cm_dense_space(cm_kernel.engine, rows, self.weights.shape[1])
        self.reads = self.rows * <size_t>self.weights.shape[1]
        self.writes = self.rows * <size_t>self.weights.shape[0]

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cdef cm_finish finish = self.finish.c
        finish.residual = residual
        cm_dense_run(
            cm_kernel.engine, self.threads, self.rows, self.weights.shape[1],
            self.weights.shape[0], &self.weights[0, 0], x, y, &finish, space,
        )


cdef class Pooling(Layer):
    """Maxima, or averages, of planes of fixed shapes."""

    cdef cm_window window
    cdef size_t planes
    cdef unsigned threads

    def __init__(self, planes, size, out, kernel, stride, pad, maximum, rectify, threads):
        cdef int i
        self.kernel = "pooling"
        self.planes = planes
        self.threads = threads
        self.window.maximum, self.window.rectify = maximum, rectify
        for i in range(2):
            self.window.size[i], self.window.out[i] = size[i], out[i]
            self.window.kernel[i], self.window.stride[i] = kernel[i], stride[i]
            self.window.pad[i] = pad[i]
        self.space = self.threads * cm_pooling_space(&self.window) if self.suits else 0
        self.reads = self.planes * self.window.size[0] * self.window.size[1]
        self.writes = self.planes * self.window.out[0] * self.window.out[1]

    @property
    def suits(self):
        """Whether the windows are such as `run` takes."""
        return bool(cm_pooling_suits(&self.window))

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cm_pooling_run(
            cm_kernel.engine, self.threads, self.planes, &self.window, x, y, space
        )


cdef class LRN(Layer):
    """y = x (images, channels, positions) times (k + alpha / size * sum of squares)^-0.75.

    The sum is over `size` channels around each.
    """

    cdef size_t images, channels, positions, size
    cdef float alpha, k
    cdef unsigned threads

    def __init__(self, images, channels, positions, size, alpha, k, threads):
        self.kernel = "LRN"
        self.images, self.channels, self.positions = images, channels, positions
        self.size, self.alpha, self.k, self.threads = size, alpha, k, threads
        self.reads = self.writes = self.images * self.channels * self.positions

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cm_lrn_run(
            cm_kernel.engine, self.threads, self.images, self.channels, self.positions,
            self.size, self.alpha, self.k, x, y,
        )


cdef class Softmax(Layer):
    """y = exp(x - max) over its sum, along the channels of x (images, channels, positions)."""

    cdef size_t images, channels, positions
    cdef unsigned threads

    def __init__(self, images, channels, positions, threads):
        self.kernel = "softmax"
        self.images, self.channels, self.positions = images, channels, positions
        self.threads = threads
        self.reads = self.writes = self.images * self.channels * self.positions

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cm_softmax_run(self.threads, self.images, self.channels, self.positions, x, y)


include "cmodel/_compressed.pxi"
include "cmodel/_int8.pxi"
