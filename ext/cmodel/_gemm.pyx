# distutils: extra_compile_args = -ftree-vectorize -fvect-cost-model=dynamic
"""Convolution, deconvolution and inner product on SciPy's BLAS.

Work is cut into units of fixed size whose bounds depend on the layer alone, never on the number of
threads; each unit is one single-threaded sgemm. The results are the same for any thread count.
Every image has up to three spatial axes; missing ones are of size 1 and stand in front.
"""

from cython.parallel cimport parallel, prange, threadid
from libc.string cimport memcpy, memset
from scipy.linalg.cython_blas cimport sgemm, sgemv

import numpy as np

# More scratch space than any machine has.
DEF MOST_FLOATS = 1 << 40
# Floats in the im2col buffer of a tile: 256 KB, half of a usual second-level cache.
DEF TILE_FLOATS = 65536
# A tile narrower than this makes sgemm repack the weights too often.
DEF TILE_LEAST = 128
DEF TILE_MOST = 2048
# Units that an image is cut into where it allows it, so that several threads share one image.
DEF UNITS_PER_IMAGE = 4
DEF CHANNELS_LEAST = 32


cdef struct Geometry:
    # Channels of a group, spatial sizes of the image (`size`) and of the positions of the window
    # (`out`), all from the view of a convolution.
    Py_ssize_t channels
    Py_ssize_t size[3]
    Py_ssize_t out[3]
    Py_ssize_t kernel[3]
    Py_ssize_t stride[3]
    Py_ssize_t pad[3]
    Py_ssize_t dilation[3]


cdef int _set(Py_ssize_t *target, values) except -1:
    cdef int i
    if len(values) != 3:
        raise ValueError("three spatial axes are needed")
    for i in range(3):
        target[i] = values[i]
    return 0


cdef Geometry _geometry(channels, size, out, kernel, stride, pad, dilation) except *:
    cdef Geometry g
    g.channels = channels
    _set(g.size, size)
    _set(g.out, out)
    _set(g.kernel, kernel)
    _set(g.stride, stride)
    _set(g.pad, pad)
    _set(g.dilation, dilation)
    return g


cdef Py_ssize_t _volume(const Py_ssize_t *size) noexcept nogil:
    return size[0] * size[1] * size[2]


cdef inline Py_ssize_t _ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef void _valid(
    Py_ssize_t offset, Py_ssize_t stride, Py_ssize_t size, Py_ssize_t count,
    Py_ssize_t *first, Py_ssize_t *end,
) noexcept nogil:
    """Range of the positions o in [0, count) with 0 <= o * stride + offset < size."""
    cdef Py_ssize_t low = 0, high
    if offset < 0:
        low = _ceil_div(-offset, stride)
    high = _ceil_div(size - offset, stride) if size > offset else 0
    if high > count:
        high = count
    if low > high:
        low = high
    first[0] = low
    end[0] = high


cdef void _im2col(
    const float *x, const Geometry *g, Py_ssize_t begin, Py_ssize_t end, float *columns
) noexcept nogil:
    """Write the patches of positions begin..end as columns: [C * kernel, end - begin]."""
    cdef Py_ssize_t width = end - begin
    cdef Py_ssize_t c, kd, kh, kw, t, run, i, first, last, from_, to
    cdef Py_ssize_t od, oh, ow, d, h, offset
    cdef Py_ssize_t out_w = g.out[2], stride = g.stride[2]
    cdef const float *source
    cdef float *target = columns
    for c in range(g.channels):
        for kd in range(g.kernel[0]):
            for kh in range(g.kernel[1]):
                for kw in range(g.kernel[2]):
                    offset = kw * g.dilation[2] - g.pad[2]
                    _valid(offset, stride, g.size[2], out_w, &first, &last)
                    ow = begin % out_w
                    oh = (begin // out_w) % g.out[1]
                    od = begin // (out_w * g.out[1])
                    t = 0
                    while t < width:
                        run = out_w - ow
                        if run > width - t:
                            run = width - t
                        d = od * g.stride[0] + kd * g.dilation[0] - g.pad[0]
                        h = oh * g.stride[1] + kh * g.dilation[1] - g.pad[1]
                        if d < 0 or d >= g.size[0] or h < 0 or h >= g.size[1]:
                            memset(target + t, 0, run * sizeof(float))
                        else:
                            source = x + ((c * g.size[0] + d) * g.size[1] + h) * g.size[2]
                            from_ = first if first > ow else ow
                            to = last if last < ow + run else ow + run
                            if from_ >= to:
                                from_ = to = ow + run
                            for i in range(ow, from_):
                                target[t + i - ow] = 0
                            if stride == 1:
                                memcpy(
                                    target + t + from_ - ow,
                                    source + from_ + offset,
                                    (to - from_) * sizeof(float),
                                )
                            else:
                                for i in range(from_, to):
                                    target[t + i - ow] = source[i * stride + offset]
                            for i in range(to, ow + run):
                                target[t + i - ow] = 0
                        t += run
                        ow = 0
                        oh += 1
                        if oh == g.out[1]:
                            oh = 0
                            od += 1
                    target += width


cdef void _col2im(const float *columns, const Geometry *g, float *x) noexcept nogil:
    """Add the columns of all positions back to the image they were taken from."""
    cdef Py_ssize_t c, kd, kh, kw, i, first, last
    cdef Py_ssize_t od, oh, d, h, offset
    cdef Py_ssize_t out_w = g.out[2], stride = g.stride[2]
    cdef float *target
    cdef const float *source = columns
    for c in range(g.channels):
        for kd in range(g.kernel[0]):
            for kh in range(g.kernel[1]):
                for kw in range(g.kernel[2]):
                    offset = kw * g.dilation[2] - g.pad[2]
                    _valid(offset, stride, g.size[2], out_w, &first, &last)
                    for od in range(g.out[0]):
                        d = od * g.stride[0] + kd * g.dilation[0] - g.pad[0]
                        for oh in range(g.out[1]):
                            h = oh * g.stride[1] + kh * g.dilation[1] - g.pad[1]
                            if 0 <= d < g.size[0] and 0 <= h < g.size[1]:
                                target = x + ((c * g.size[0] + d) * g.size[1] + h) * g.size[2]
                                for i in range(first, last):
                                    target[i * stride + offset] += source[i]
                            source += out_w


cdef void _depthwise(
    const float *x, const Geometry *g, const float *weights, float bias, float *y
) noexcept nogil:
    """One channel by one kernel, without columns."""
    cdef Py_ssize_t kd, kh, kw, i, od, oh, d, h, offset, first, last
    cdef Py_ssize_t out_w = g.out[2], stride = g.stride[2]
    cdef const float *source
    cdef float *target = y
    cdef float weight
    for od in range(g.out[0]):
        for oh in range(g.out[1]):
            for i in range(out_w):
                target[i] = bias
            for kd in range(g.kernel[0]):
                d = od * g.stride[0] + kd * g.dilation[0] - g.pad[0]
                if d < 0 or d >= g.size[0]:
                    continue
                for kh in range(g.kernel[1]):
                    h = oh * g.stride[1] + kh * g.dilation[1] - g.pad[1]
                    if h < 0 or h >= g.size[1]:
                        continue
                    source = x + (d * g.size[1] + h) * g.size[2]
                    for kw in range(g.kernel[2]):
                        offset = kw * g.dilation[2] - g.pad[2]
                        weight = weights[(kd * g.kernel[1] + kh) * g.kernel[2] + kw]
                        _valid(offset, stride, g.size[2], out_w, &first, &last)
                        if stride == 1:
                            for i in range(first, last):
                                target[i] += weight * source[i + offset]
                        else:
                            for i in range(first, last):
                                target[i] += weight * source[i * stride + offset]
            target += out_w


cdef void _multiply(
    char transpose_a, char transpose_b,
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    const float *a, Py_ssize_t lda, const float *b, Py_ssize_t ldb,
    float beta, float *c, Py_ssize_t ldc,
) noexcept nogil:
    """BLAS's column-major c = a b + beta c."""
    cdef int m_ = <int>m, n_ = <int>n, k_ = <int>k
    cdef int lda_ = <int>lda, ldb_ = <int>ldb, ldc_ = <int>ldc
    cdef float one = 1
    sgemm(
        &transpose_a, &transpose_b, &m_, &n_, &k_, &one,
        <float *>a, &lda_, <float *>b, &ldb_, &beta, c, &ldc_,
    )


cdef class Convolution:
    """A convolution of fixed shapes.

    weights is (outputs, channels of a group * kernel), bias (outputs,) or None. Where `slope` is
    given, the values below zero are multiplied by it (a ReLU that follows).
    """

    cdef Geometry g
    cdef Py_ssize_t images, groups, outputs, inner, positions
    cdef Py_ssize_t tile, tiles, block, blocks
    cdef int threads
    cdef bint has_bias, has_slope, depthwise, direct
    cdef float slope
    cdef const float[:, ::1] weights
    cdef const float[::1] bias
    cdef float[::1] scratch

    def __init__(
        self, images, groups, channels, size, out, kernel, stride, pad, dilation,
        weights, bias, slope, threads,
    ):
        self.g = _geometry(channels, size, out, kernel, stride, pad, dilation)
        self.images = images
        self.groups = groups
        self.outputs = weights.shape[0] // groups
        self.inner = self.g.channels * _volume(self.g.kernel)
        self.positions = _volume(self.g.out)
        if weights.shape[1] != self.inner or self.outputs * groups != weights.shape[0]:
            raise ValueError("the weights do not fit the kernel")
        self.weights = weights
        self.has_bias = bias is not None
        self.bias = bias if bias is not None else np.zeros(weights.shape[0], np.float32)
        if self.bias.shape[0] != weights.shape[0]:
            raise ValueError("the bias does not fit the weights")
        self.has_slope = slope is not None
        self.slope = slope or 0.0
        self.threads = threads
        self.depthwise = self.g.channels == 1 and _volume(self.g.kernel) > 1 and groups > 1
        # The image itself is the matrix of columns.
        self.direct = (
            _volume(self.g.kernel) == 1 and _volume(self.g.stride) == 1
            and self.g.pad[0] == self.g.pad[1] == self.g.pad[2] == 0
        )
        self._cut()
        buffers = 0 if self.depthwise or self.direct else self.threads
        needed = int(buffers) * int(self.inner) * int(self.tile)
        if needed > MOST_FLOATS:
            raise MemoryError(f"{4 * needed} bytes of scratch space")
        self.scratch = np.empty(max(needed, 1), np.float32)

    @property
    def scratch_bytes(self):
        """Bytes of the scratch space of all threads."""
        return 4 * self.scratch.shape[0]

    cdef void _cut(self) noexcept:
        cdef Py_ssize_t tile = TILE_FLOATS // self.inner
        tile = min(max(tile, TILE_LEAST), TILE_MOST)
        # Narrower where that gives every thread something to do.
        cdef Py_ssize_t share = _ceil_div(self.positions, UNITS_PER_IMAGE)
        tile = min(tile, max(share, TILE_LEAST))
        self.tiles = _ceil_div(self.positions, tile)
        self.tile = _ceil_div(_ceil_div(self.positions, self.tiles), 16) * 16
        self.tile = min(self.tile, self.positions)
        self.tiles = _ceil_div(self.positions, self.tile)
        self.blocks = _ceil_div(UNITS_PER_IMAGE, self.tiles * self.groups)
        self.blocks = max(min(self.blocks, self.outputs // CHANNELS_LEAST), 1)
        self.block = _ceil_div(_ceil_div(self.outputs, self.blocks), 8) * 8
        self.blocks = _ceil_div(self.outputs, self.block)

    cdef void _unit(
        self, Py_ssize_t unit, const float *x, float *y, float *scratch
    ) noexcept nogil:
        cdef Py_ssize_t block = unit % self.blocks
        cdef Py_ssize_t tile = unit // self.blocks % self.tiles
        cdef Py_ssize_t plane = unit // (self.blocks * self.tiles)
        cdef Py_ssize_t group = plane % self.groups
        cdef Py_ssize_t begin = tile * self.tile
        cdef Py_ssize_t end = min(begin + self.tile, self.positions)
        cdef Py_ssize_t row = group * self.outputs + block * self.block
        cdef Py_ssize_t rows = min(self.block, self.outputs - block * self.block)
        cdef const float *image = x + plane * self.g.channels * _volume(self.g.size)
        cdef const float *columns = scratch
        cdef Py_ssize_t step = end - begin
        cdef float *target = (
            y + (plane * self.outputs + block * self.block) * self.positions + begin
        )
        cdef Py_ssize_t i, r
        if self.direct:
            columns = image + begin
            step = self.positions
        else:
            _im2col(image, &self.g, begin, end, scratch)
        if self.has_bias:
            for r in range(rows):
                for i in range(end - begin):
                    target[r * self.positions + i] = self.bias[row + r]
        _multiply(
            c"N", c"N", end - begin, rows, self.inner,
            columns, step, &self.weights[row, 0], self.inner,
            1.0 if self.has_bias else 0.0, target, self.positions,
        )
        if self.has_slope:
            for r in range(rows):
                _rectify(target + r * self.positions, end - begin, self.slope)

    cdef void _plane(self, Py_ssize_t unit, const float *x, float *y) noexcept nogil:
        cdef Py_ssize_t output = unit % (self.groups * self.outputs)
        cdef Py_ssize_t source = unit // self.outputs
        cdef float *target = y + unit * self.positions
        _depthwise(
            x + source * _volume(self.g.size), &self.g,
            &self.weights[output, 0], self.bias[output], target,
        )
        if self.has_slope:
            _rectify(target, self.positions, self.slope)

    def run(self, const float[::1] x, float[::1] y):
        """Fill y (images, groups * outputs, positions) from x, both flat."""
        cdef Py_ssize_t unit, units = self.images * self.groups * self.tiles * self.blocks
        cdef Py_ssize_t planes = self.images * self.groups * self.outputs
        cdef Py_ssize_t stride = 0 if self.direct else self.inner * self.tile
        cdef Py_ssize_t inputs = self.images * self.groups * self.g.channels
        if x.shape[0] != inputs * _volume(self.g.size) or y.shape[0] != planes * self.positions:
            raise ValueError("an array has another size than planned")
        if self.depthwise:
            for unit in prange(
                planes, nogil=True, schedule="dynamic", num_threads=self.threads
            ):
                self._plane(unit, &x[0], &y[0])
            return
        with nogil, parallel(num_threads=self.threads):
            for unit in prange(units, schedule="dynamic"):
                self._unit(unit, &x[0], &y[0], &self.scratch[threadid() * stride])


cdef void _rectify(float *values, Py_ssize_t count, float slope) noexcept nogil:
    cdef Py_ssize_t i
    if slope == 0:
        # A NaN is not below zero: it stays.
        for i in range(count):
            values[i] = 0 if values[i] < 0 else values[i]
    else:
        for i in range(count):
            values[i] = values[i] * slope if values[i] < 0 else values[i]


cdef class Deconvolution:
    """A transposed convolution of fixed shapes.

    weights is (inputs, outputs of a group * kernel); `size` is the spatial size of the top, `out`
    that of the bottom: the geometry is that of the convolution which it transposes.
    """

    cdef Geometry g
    cdef Py_ssize_t images, groups, inputs, outputs, positions, taps
    cdef Py_ssize_t block, blocks
    cdef int threads
    cdef const float[:, ::1] weights
    cdef const float[::1] bias
    cdef float[::1] scratch

    def __init__(
        self, images, groups, outputs, size, out, kernel, stride, pad, dilation,
        weights, bias, threads,
    ):
        self.g = _geometry(1, size, out, kernel, stride, pad, dilation)
        self.images = images
        self.groups = groups
        self.inputs = weights.shape[0] // groups
        self.outputs = outputs
        self.positions = _volume(self.g.out)
        self.taps = _volume(self.g.kernel)
        if weights.shape[1] != outputs * self.taps or self.inputs * groups != weights.shape[0]:
            raise ValueError("the weights do not fit the kernel")
        self.weights = weights
        self.bias = bias if bias is not None else np.zeros(groups * outputs, np.float32)
        if self.bias.shape[0] != groups * outputs:
            raise ValueError("the bias does not fit the weights")
        cdef Py_ssize_t most = 1
        if self.taps < TILE_FLOATS and self.positions < TILE_FLOATS:
            most = TILE_FLOATS // (self.taps * self.positions)
        self.block = min(max(most, 1), _ceil_div(outputs, min(UNITS_PER_IMAGE, outputs)))
        self.blocks = _ceil_div(outputs, self.block)
        # A thread without a unit of its own would only hold memory.
        self.threads = min(threads, max(images * groups * self.blocks, 1))
        # Python's integers do not overflow: what no memory can hold is a MemoryError.
        needed = int(self.threads) * int(self.block) * int(self.taps) * int(self.positions)
        if needed > MOST_FLOATS:
            raise MemoryError(f"{4 * needed} bytes of scratch space")
        self.scratch = np.empty(needed, np.float32)

    @property
    def scratch_bytes(self):
        """Bytes of the scratch space of all threads."""
        return 4 * self.scratch.shape[0]

    cdef void _unit(
        self, Py_ssize_t unit, const float *x, float *y, float *scratch
    ) noexcept nogil:
        cdef Py_ssize_t block = unit % self.blocks
        cdef Py_ssize_t plane = unit // self.blocks
        cdef Py_ssize_t group = plane % self.groups
        cdef Py_ssize_t first = block * self.block
        cdef Py_ssize_t count = min(self.block, self.outputs - first)
        cdef Py_ssize_t volume = _volume(self.g.size)
        cdef float *target = y + (plane * self.outputs + first) * volume
        cdef Geometry g = self.g
        cdef Py_ssize_t c, i
        g.channels = count
        _multiply(
            c"N", c"T", self.positions, count * self.taps, self.inputs,
            x + plane * self.inputs * self.positions, self.positions,
            &self.weights[group * self.inputs, first * self.taps], self.outputs * self.taps,
            0.0, scratch, self.positions,
        )
        for c in range(count):
            for i in range(volume):
                target[c * volume + i] = self.bias[group * self.outputs + first + c]
        _col2im(scratch, &g, target)

    def run(self, const float[::1] x, float[::1] y):
        """Fill y (images, groups * outputs, size) from x, both flat."""
        cdef Py_ssize_t unit, units = self.images * self.groups * self.blocks
        cdef Py_ssize_t stride = self.block * self.taps * self.positions
        cdef Py_ssize_t planes = self.images * self.groups
        if (
            x.shape[0] != planes * self.inputs * self.positions
            or y.shape[0] != planes * self.outputs * _volume(self.g.size)
        ):
            raise ValueError("an array has another size than planned")
        with nogil, parallel(num_threads=self.threads):
            for unit in prange(units, schedule="dynamic"):
                self._unit(unit, &x[0], &y[0], &self.scratch[threadid() * stride])


# Columns and rows of the output that one unit of an inner product computes.
DEF PRODUCT_COLUMNS = 64
DEF PRODUCT_ROWS = 128


def inner_product(
    const float[:, ::1] x, const float[:, ::1] weights, bint transposed, bias, float[:, ::1] y,
    int threads,
):
    """Fill y (rows, N) with x (rows, K) times weights (N, K), or (K, N) where transposed."""
    cdef Py_ssize_t rows = x.shape[0], inner = x.shape[1], columns = y.shape[1]
    cdef Py_ssize_t across = _ceil_div(columns, PRODUCT_COLUMNS)
    cdef Py_ssize_t units = across * _ceil_div(rows, PRODUCT_ROWS)
    cdef bint has_bias = bias is not None
    cdef const float[::1] offsets = bias if has_bias else np.zeros(1, np.float32)
    cdef Py_ssize_t unit
    shape = (inner, columns) if transposed else (columns, inner)
    if (weights.shape[0], weights.shape[1]) != shape or y.shape[0] != rows:
        raise ValueError("the weights do not fit the arrays")
    if has_bias and offsets.shape[0] != columns:
        raise ValueError("the bias does not fit the weights")
    for unit in prange(units, nogil=True, schedule="dynamic", num_threads=threads):
        _product_unit(
            unit % across, unit // across, rows, inner, columns, transposed,
            &x[0, 0], &weights[0, 0], &offsets[0] if has_bias else NULL, &y[0, 0],
        )


cdef void _product_unit(
    Py_ssize_t across, Py_ssize_t down, Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t columns,
    bint transposed, const float *x, const float *weights, const float *bias, float *y,
) noexcept nogil:
    cdef Py_ssize_t column = across * PRODUCT_COLUMNS
    cdef Py_ssize_t width = min(<Py_ssize_t>PRODUCT_COLUMNS, columns - column)
    cdef Py_ssize_t row = down * PRODUCT_ROWS
    cdef Py_ssize_t height = min(<Py_ssize_t>PRODUCT_ROWS, rows - row)
    cdef float *target = y + row * columns + column
    cdef const float *source = x + row * inner
    cdef float one = 1, beta = 0 if bias == NULL else 1
    cdef int m, n, step, unit_step = 1
    cdef char operation
    cdef Py_ssize_t i, r
    if bias != NULL:
        for r in range(height):
            for i in range(width):
                target[r * columns + i] = bias[column + i]
    if rows == 1:
        operation = c"N" if transposed else c"T"
        m = <int>(width if transposed else inner)
        n = <int>(inner if transposed else width)
        step = <int>(columns if transposed else inner)
        sgemv(
            &operation, &m, &n, &one,
            <float *>(weights + (column if transposed else column * inner)), &step,
            <float *>source, &unit_step, &beta, target, &unit_step,
        )
    elif transposed:
        _multiply(
            c"N", c"N", width, height, inner, weights + column, columns, source, inner,
            beta, target, columns,
        )
    else:
        _multiply(
            c"T", c"N", width, height, inner, weights + column * inner, inner, source, inner,
            beta, target, columns,
        )
