"""Kernels of the engine on weights as they are kept compressed; a part of _engine.pyx."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t

cdef extern from "cm_coded.h" nogil:
    ctypedef struct cm_coded:
        size_t outputs
        size_t inner
        const int64_t *starts
        const uint16_t *columns
        const float *values
        const uint8_t *indices
        const float *entries
        size_t shared
    enum:
        CM_CODED_COLUMNS
        CM_CODED_ENTRIES
        CM_CODED_ROWS
    size_t cm_coded_bytes(size_t outputs, size_t inner)
    void cm_coded_pack(size_t outputs, size_t inner, const uint8_t *indices, uint8_t *packed)
    size_t cm_coded_space(const cm_engine *engine, size_t rows, const cm_coded *matrix)
    void cm_coded_run(
        const cm_engine *engine, unsigned threads, size_t rows, const cm_coded *matrix,
        const float *x, float *y, const cm_finish *finish, float *space
    )

MOST_COLUMNS = CM_CODED_COLUMNS
MOST_ENTRIES = CM_CODED_ENTRIES
MOST_CODED_ROWS = CM_CODED_ROWS


def pack_indices(const uint8_t[:, ::1] indices):
    """Return indices (outputs, inner), all below 16, four bits each, as Coded reads them."""
    cdef size_t outputs = indices.shape[0], inner = indices.shape[1]
    packed = np.empty(cm_coded_bytes(outputs, inner), np.uint8)
    cdef uint8_t[::1] target = packed
    with nogil:
        cm_coded_pack(outputs, inner, &indices[0, 0], &target[0])
    return packed


cdef int _check_rows(const int64_t[::1] starts, size_t outputs, size_t stored) except -1:
    """Starts of rows go from 0 to the number of what is stored, and never back."""
    cdef size_t i
    if <size_t>starts.shape[0] != outputs + 1 or starts[0] != 0 or starts[outputs] < 0:
        raise ValueError("the rows do not fit the matrix")
    for i in range(outputs):
        if starts[i + 1] < starts[i]:
            raise ValueError("the rows do not follow each other")
    if <size_t>starts[outputs] != stored:
        raise ValueError("the rows do not fit the weights")
    return 0


cdef class Coded(Layer):
    """A fully connected layer (outputs, inner) of fixed shapes, its weights compressed.

    starts (outputs + 1,), columns: of a sparse matrix; None: all weights are there.
    values: of a sparse matrix, float32; or None: then indices, a byte each of a sparse matrix, else
    as `pack_indices` returns them, and entries (groups of rows, 16), float32.
    """

    cdef cm_coded matrix
    cdef Finish finish
    cdef const int64_t[::1] starts
    cdef const uint16_t[::1] columns
    cdef const float[::1] values
    cdef const uint8_t[::1] indices
    cdef const float[:, ::1] entries
    cdef size_t rows
    cdef unsigned threads

    def __init__(
        self, rows, outputs, inner, starts, columns, values, indices, entries, finish, threads
    ):
        cdef size_t i, stored
        self.kernel = "codebook" if starts is None else "sparse"
        self.rows, self.threads, self.finish = rows, threads, finish
        self.matrix.outputs, self.matrix.inner, self.matrix.shared = outputs, inner, outputs
        if starts is not None:
            self.starts, self.columns = starts, columns
            stored = self.columns.shape[0]
            _check_rows(self.starts, outputs, stored)
            if stored == 0:
                raise ValueError("the matrix is empty")
            for i in range(stored):
                if self.columns[i] >= self.matrix.inner:
                    raise ValueError("a column lies outside the matrix")
            self.matrix.starts, self.matrix.columns = &self.starts[0], &self.columns[0]
        else:
            stored = cm_coded_bytes(outputs, inner)
            if values is not None or rows > CM_CODED_ROWS:
                raise ValueError("the weights, or so many rows, do not fit the kernel")
        if values is not None:
            self.values = values
            if <size_t>self.values.shape[0] != stored:
                raise ValueError("the weights do not fit the matrix")
            self.matrix.values = &self.values[0]
        else:
            self.indices, self.entries = indices, entries
            if (
                <size_t>self.indices.shape[0] != stored
                or self.entries.shape[1] != CM_CODED_ENTRIES
                or self.entries.shape[0] == 0
                or self.matrix.outputs % <size_t>self.entries.shape[0]
            ):
                raise ValueError("the weights do not fit the matrix")
            if starts is not None:
                for i in range(stored):
                    if self.indices[i] >= CM_CODED_ENTRIES:
                        raise ValueError("an index lies outside the codebook")
            self.matrix.indices, self.matrix.entries = &self.indices[0], &self.entries[0, 0]
            self.matrix.shared = self.matrix.outputs // self.entries.shape[0]
        self.space = cm_coded_space(cm_kernel.engine, rows, &self.matrix)
        self.reads = self.rows * self.matrix.inner
        self.writes = self.rows * self.matrix.outputs

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cdef cm_finish finish = self.finish.c
        finish.residual = residual
        cm_coded_run(
            cm_kernel.engine, self.threads, self.rows, &self.matrix, x, y, &finish, space
        )


cdef extern from "cm_sparse.h" nogil:
    ctypedef struct cm_sparse:
        pass
    int cm_sparse_plan(
        cm_sparse *sparse, const cm_geometry *geometry, const cm_engine *engine, unsigned rows,
        unsigned threads
    )
    void cm_sparse_free(cm_sparse *sparse)
    size_t cm_sparse_space(const cm_sparse *sparse)
    int32_t cm_sparse_offset(const cm_sparse *sparse, size_t column)
    void cm_sparse_run(
        const cm_sparse *sparse, const int64_t *starts, const int32_t *offsets,
        const float *weights, const float *x, float *y, const cm_finish *finish, float *space
    )


def lanes():
    """Return the number of floats of a vector."""
    return cm_kernel.engine.lanes


cdef class SparseConvolution(Layer):
    """A convolution of fixed shapes whose weights are sparse.

    rows : 1, or 4, rows of weights make a block.
    starts, columns : int64; block b has the columns starts[b] to starts[b + 1] - 1, each a channel
        of the group and a tap of the kernel.
    weights : (columns, rows) float32.
    """

    cdef cm_sparse sparse
    cdef cm_geometry g
    cdef Finish finish
    cdef const int64_t[::1] starts
    cdef int32_t[::1] offsets
    cdef const float[:, ::1] weights

    def __init__(
        self, images, groups, channels, size, out, kernel, stride, pad, dilation,
        rows, starts, const int64_t[::1] columns, weights, outputs, finish, threads,
    ):
        self.g = _geometry(
            images, groups, channels, outputs, size, out, kernel, stride, pad, dilation
        )
        self.finish, self.starts, self.weights = finish, starts, weights
        self.kernel = "sparse" if rows == 1 else f"sparse, blocks of {rows}"
        _check(cm_sparse_plan(&self.sparse, &self.g, cm_kernel.engine, rows, threads))
        self.space = cm_sparse_space(&self.sparse)
        cdef size_t i, stored = columns.shape[0], inner = self.g.channels * _volume(self.g.kernel)
        _check_rows(self.starts, self.g.groups * self.g.outputs // <size_t>rows, stored)
        if (
            stored == 0
            or <size_t>self.weights.shape[0] != stored
            or <size_t>self.weights.shape[1] != <size_t>rows
        ):
            raise ValueError("the weights do not fit the matrix")
        self.offsets = np.empty(stored, np.int32)
        for i in range(stored):
            if <size_t>columns[i] >= inner:
                raise ValueError("a column lies outside the matrix")
            self.offsets[i] = cm_sparse_offset(&self.sparse, columns[i])
        _count(self, &self.g)

    def __dealloc__(self):
        cm_sparse_free(&self.sparse)

    cdef void compute(
        self, const float *x, float *y, const float *residual, float *space
    ) noexcept nogil:
        cdef cm_finish finish = self.finish.c
        finish.residual = residual
        cm_sparse_run(
            &self.sparse, &self.starts[0], &self.offsets[0], &self.weights[0, 0],
            x, y, &finish, space,
        )
