"""Kernels of the engine on 8-bit integers; a part of _engine.pyx."""

from libc.stdint cimport int8_t

cdef extern from "cm_int8.h" nogil:
    ctypedef struct cm_int8_grid:
        float inverse
        int32_t zero
    ctypedef struct cm_int8_extra:
        pass
    ctypedef struct cm_int8:
        pass
    ctypedef struct cm_int8_weights:
        const int8_t *packed
        const cm_int8_extra *extras
        const int64_t *starts
        const int32_t *offsets
        int deep
    enum:
        CM_INT8_LEVELS
        CM_INT8_INNER
    int cm_int8_plan(
        cm_int8 *plan, const cm_geometry *geometry, const cm_int8_grid *grid,
        const cm_engine *engine, unsigned threads
    )
    void cm_int8_free(cm_int8 *plan)
    size_t cm_int8_space(const cm_int8 *plan)
    size_t cm_int8_bytes(size_t groups, size_t outputs, size_t channels, size_t taps)
    size_t cm_int8_panels(const cm_engine *engine, size_t groups, size_t outputs)
    size_t cm_int8_pack(
        const cm_engine *engine, size_t groups, size_t outputs, size_t channels, size_t taps,
        int deep, const int8_t *weights, int8_t *packed, cm_int8_extra *extras, int64_t *starts
    )
    void cm_int8_run(
        const cm_int8 *plan, const cm_int8_weights *weights, const float *x, float *y,
        const cm_finish *finish, float *space
    )
    size_t cm_int8_dense_row(size_t inner)
    void cm_int8_dense_pack(size_t outputs, size_t inner, const int8_t *weights, int8_t *packed)
    size_t cm_int8_dense_space(size_t rows, size_t inner)
    void cm_int8_dense_run(
        const cm_engine *engine, unsigned threads, size_t rows, size_t inner, size_t outputs,
        const cm_int8_grid *grid, const int8_t *packed, const int32_t *offsets, const float *x,
        float *y, const cm_finish *finish, float *space
    )

cdef enum:
    # An extra costs about as much as sums of 8 instead of 16 do in so many weights.
    MOST_EXTRAS = 200

INT8_LEVELS = CM_INT8_LEVELS
MOST_INT8_INNER = CM_INT8_INNER


cdef class Int8Weights:
    """Weights (groups * outputs, channels * taps) as Int8Convolution reads them.

    extras : how many quads of weights are added apart, since 16 bits might not hold their sums.
    deep : whether 16 bits hold sums of 16 weights, but for the extras; else of 8.
    """

    cdef size_t groups, outputs, channels, taps
    cdef int8_t[::1] packed
    cdef int32_t[:, ::1] apart
    cdef int64_t[::1] starts
    cdef readonly size_t extras
    cdef readonly bint deep

    def __init__(self, const int8_t[:, ::1] weights, size_t groups, size_t taps):
        cdef size_t rows = weights.shape[0], inner = weights.shape[1]
        if not groups or not taps or not rows or not inner or rows % groups or inner % taps:
            raise ValueError("the weights do not fit the groups or the kernel")
        if inner > CM_INT8_INNER:
            raise ValueError("the sums may not fit 32 bits")
        self.groups, self.outputs = groups, rows // groups
        self.channels, self.taps = inner // taps, taps
        self.deep = True
        self.extras = self._pack(&weights[0, 0], NULL, NULL, NULL)
        if self.extras * MOST_EXTRAS > rows * inner:
            self.deep = False
            self.extras = self._pack(&weights[0, 0], NULL, NULL, NULL)
        self.packed = np.empty(
            cm_int8_bytes(groups, self.outputs, self.channels, taps), np.int8
        )
        self.apart = np.empty((self.extras + 1, 3), np.int32)
        self.starts = np.empty(
            cm_int8_panels(cm_kernel.engine, groups, self.outputs) + 1, np.int64
        )
        self._pack(
            &weights[0, 0], &self.packed[0], <cm_int8_extra *>&self.apart[0, 0], &self.starts[0]
        )

    cdef size_t _pack(
        self, const int8_t *weights, int8_t *packed, cm_int8_extra *extras, int64_t *starts
    ) noexcept:
        with nogil:
            return cm_int8_pack(
                cm_kernel.engine, self.groups, self.outputs, self.channels, self.taps, self.deep,
                weights, packed, extras, starts,
            )


cdef class Int8Convolution(Layer):
    """A convolution of fixed shapes: floats in and out, sums of integers.

    x becomes 0 to INT8_LEVELS: x * inverse, rounded to the nearest, ties to even, plus `zero`.
    offsets : by output, added to the sums before `finish`.
    """

    cdef cm_int8 plan
    cdef cm_geometry g
    cdef Finish finish
    cdef Int8Weights weights
    cdef const int32_t[::1] offsets

    def __init__(
        self, images, groups, channels, size, out, kernel, stride, pad, dilation,
        Int8Weights weights, offsets, inverse, zero, Finish finish, threads,
    ):
        cdef cm_int8_grid grid
        self.g = _geometry(
            images, groups, channels, weights.outputs, size, out, kernel, stride, pad, dilation
        )
        self.finish, self.weights, self.offsets = finish, weights, offsets
        self.kernel = "int8"
        grid.inverse, grid.zero = inverse, zero
        if finish.c.scale == NULL or finish.c.bias == NULL:
            raise ValueError("the factors or the offsets are missing")
        if (
            weights.groups != self.g.groups
            or weights.channels != self.g.channels
            or weights.taps != _volume(self.g.kernel)
            or <size_t>self.offsets.shape[0] != self.g.groups * self.g.outputs
        ):
            raise ValueError("the weights do not fit the kernel")
        _check(cm_int8_plan(&self.plan, &self.g, &grid, cm_kernel.engine, threads))
        self.space = cm_int8_space(&self.plan)
        _count(self, &self.g)

    def __dealloc__(self):
        cm_int8_free(&self.plan)

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cdef cm_finish finish = self.finish.c
        cdef cm_int8_weights weights
        finish.residual = residual
        weights.packed = &self.weights.packed[0]
        weights.extras = <const cm_int8_extra *>&self.weights.apart[0, 0]
        weights.starts = &self.weights.starts[0]
        weights.offsets = &self.offsets[0]
        weights.deep = self.weights.deep
        cm_int8_run(&self.plan, &weights, x, y, &finish, space)


def pack_int8(const int8_t[:, ::1] weights):
    """Return weights (outputs, inner) as Int8Dense reads them: (outputs, bytes of a row)."""
    cdef size_t outputs = weights.shape[0], inner = weights.shape[1]
    packed = np.empty((outputs, cm_int8_dense_row(inner)), np.int8)
    cdef int8_t[:, ::1] target = packed
    with nogil:
        cm_int8_dense_pack(outputs, inner, &weights[0, 0], &target[0, 0])
    return packed


cdef class Int8Dense(Layer):
    """A fully connected layer of fixed shapes; weights as `pack_int8` returns them.

    offsets, inverse and zero are as of Int8Convolution.
    """

    cdef Finish finish
    cdef const int8_t[:, ::1] weights
    cdef const int32_t[::1] offsets
    cdef cm_int8_grid grid
    cdef size_t rows, inner
    cdef unsigned threads

    def __init__(
        self, rows, inner, weights, offsets, inverse, zero, Finish finish, threads,
    ):
        self.rows, self.inner, self.threads = rows, inner, threads
        self.kernel = "int8"
        self.weights, self.offsets, self.finish = weights, offsets, finish
        self.grid.inverse, self.grid.zero = inverse, zero
        if (
            not self.inner
            or self.inner > CM_INT8_INNER
            or <size_t>self.weights.shape[1] != cm_int8_dense_row(self.inner)
            or self.offsets.shape[0] != self.weights.shape[0]
            or self.grid.zero < 0
            or self.grid.zero > CM_INT8_LEVELS
        ):
            raise ValueError("the weights do not fit the kernel")
        self.space = cm_int8_dense_space(self.rows, self.inner)
        self.reads = self.rows * self.inner
        self.writes = self.rows * <size_t>self.weights.shape[0]

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cdef cm_finish finish = self.finish.c
        finish.residual = residual
        cm_int8_dense_run(
            cm_kernel.engine, self.threads, self.rows, self.inner, self.weights.shape[0],
            &self.grid, &self.weights[0, 0], &self.offsets[0], x, y, &finish, space,
        )
