"""Rate-aware quantization with error feedback over the kernel in cm_rdo.c, and SciPy's BLAS.

Rows are cut into chunks of fixed size, and each chunk's products are single-threaded: the results
are the same for any number of threads.
"""

from cython.parallel cimport parallel, prange
from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.stdlib cimport free, malloc
from scipy.linalg.cython_blas cimport sgemm

import numpy as np

from cmodel._simd cimport cm_simd_use, current

cdef extern from "cm_rdo.h" nogil:
    ctypedef struct cm_rdo_code:
        unsigned states
        int dependent
        const uint8_t *next
        const uint8_t *quantizer
        const float *costs
        int classes
        int entries
    ctypedef struct cm_rdo_window:
        const float *values
        const float *factor
        size_t stride
        const float *weights
        const uint8_t *keep
        const int32_t *levels
        int level
        size_t width
        size_t commit
    size_t cm_rdo_space(unsigned states, size_t width)

cdef extern from "cm_simd.h" nogil:
    ctypedef struct cm_kernels:
        void (*rdo_window)(
            const cm_rdo_code *code, const cm_rdo_window *window, uint8_t *state,
            int16_t *indices, float *errors, void *space
        ) noexcept nogil
    cm_kernels cm_kernel

cm_simd_use(current())

cdef enum:
    CHUNK = 128
    STATES = 8


cdef void _feed(
    float *values, const float *errors, const float *factor,
    size_t rows, size_t columns, size_t count, size_t stride,
) noexcept nogil:
    """Take errors (rows, count) times factor (count, columns) from values (rows, columns)."""
    cdef char plain = b"N"
    cdef int n = <int>columns, m = <int>rows, k = <int>count, lead = <int>stride
    cdef float minus = -1, one = 1
    sgemm(
        &plain, &plain, &n, &m, &k, &minus, <float *>factor, &lead, <float *>errors, &k, &one,
        values, &lead,
    )


cdef int _chunk(
    const cm_rdo_code *code, float *values, const float *factor, const float *weights,
    const uint8_t *keep, const int32_t *levels, const int32_t *row_levels, int16_t *out,
    size_t rows, size_t columns, size_t block, size_t overlap,
) noexcept nogil:
    """Quantize some rows with the same factor; 1 where there is no memory."""
    cdef size_t row, start = 0, width, commit
    cdef cm_rdo_window window
    cdef uint8_t states[CHUNK]
    cdef float *errors = <float *>malloc(CHUNK * block * sizeof(float))
    cdef void *space = malloc(cm_rdo_space(code.states, block))
    if errors == NULL or space == NULL:
        free(errors)
        free(space)
        return 1
    for row in range(rows):
        states[row] = 0
    while start < columns:
        width = min(block, columns - start)
        commit = width if start + width == columns else width - overlap
        window.stride = columns
        window.width = width
        window.commit = commit
        window.levels = levels + start
        window.weights = weights + start
        window.factor = factor + start * columns + start
        for row in range(rows):
            window.values = values + row * columns + start
            window.keep = NULL
            if keep != NULL:
                window.keep = keep + row * columns + start
            window.level = row_levels[row]
            cm_kernel.rdo_window(
                code, &window, &states[row], out + row * columns + start, errors + row * commit,
                space
            )
        start += commit
        if start < columns:
            _feed(
                values + start, errors, factor + (start - commit) * columns + start,
                rows, columns - start, commit, columns
            )
    free(errors)
    free(space)
    return 0


def quantize(
    float[:, :, ::1] values not None,
    const float[:, :, ::1] factor not None,
    const float[:, ::1] weights not None,
    const float[:, :, ::1] costs not None,
    const int32_t[::1] row_levels not None,
    const int32_t[::1] column_levels not None,
    trellis not None,
    keep=None,
    size_t block=128,
    size_t overlap=0,
    int threads=1,
):
    cdef size_t groups = values.shape[0], rows = values.shape[1], columns = values.shape[2]
    if (
        factor.shape[0] != groups or factor.shape[1] != columns or factor.shape[2] != columns
        or weights.shape[0] != groups or weights.shape[1] != columns
        or row_levels.shape[0] != groups * rows or column_levels.shape[0] != columns
    ):
        raise ValueError("the shapes do not belong to each other")
    if costs.shape[0] < 1 or costs.shape[1] != 2 or costs.shape[2] < 1:
        raise ValueError("costs have the shape (classes, 2, entries)")
    if overlap >= block or block > 4096 or threads < 1:
        raise ValueError("0 <= overlap < block <= 4096, and at least one thread")
    if max(rows, columns) >= 1 << 31:
        raise ValueError("a matrix has fewer than 2^31 rows and columns")
    cdef cm_rdo_code code
    cdef const uint8_t[:, ::1] next_states
    cdef const uint8_t[::1] quantizers
    next_states, quantizers = trellis
    if quantizers.shape[0] == 1:
        code.states, code.dependent = 1, 0
    else:
        if next_states.shape[0] != STATES or quantizers.shape[0] != STATES or (
            next_states.shape[1] != 2 or np.max(next_states) >= STATES or np.max(quantizers) > 1
        ):
            raise ValueError(f"a trellis has {STATES} states, two branches, two quantizers")
        code.states, code.dependent = STATES, int(np.max(quantizers))
    code.next, code.quantizer = &next_states[0, 0], &quantizers[0]
    result = np.zeros((groups, rows, columns), np.int16)
    cdef int16_t[:, :, ::1] out = result
    cdef const uint8_t[:, :, ::1] kept
    cdef const uint8_t *first_kept = NULL
    if not result.size:
        return result
    if keep is not None:
        kept = keep
        if kept.shape[0] != groups or kept.shape[1] != rows or kept.shape[2] != columns:
            raise ValueError("keep has the shape of the values")
        first_kept = &kept[0, 0, 0]
    code.costs = &costs[0, 0, 0]
    code.classes, code.entries = <int>costs.shape[0], <int>costs.shape[2]
    cdef Py_ssize_t chunks = (rows + CHUNK - 1) // CHUNK, unit
    cdef size_t group, row, at
    cdef int failed = 0
    with nogil, parallel(num_threads=threads):
        for unit in prange(groups * chunks, schedule="dynamic"):
            group = unit // chunks
            row = unit % chunks * CHUNK
            at = (group * rows + row) * columns
            failed |= _chunk(
                &code, &values[0, 0, 0] + at, &factor[group, 0, 0], &weights[group, 0],
                NULL if first_kept == NULL else first_kept + at,
                &column_levels[0], &row_levels[0] + group * rows + row, &out[0, 0, 0] + at,
                min(<size_t>CHUNK, rows - row), columns, block, overlap,
            )
    if failed:
        raise MemoryError
    return result
