"""Relative index: the gaps between positions as symbols of b bits, with an escape that skips."""

from libc.stdint cimport int64_t, uint8_t, uint16_t

cimport cython

import numpy as np

from cmodel.errors import BadStream

ctypedef fused symbol_t:
    uint8_t
    uint16_t


@cython.boundscheck(False)
def symbol_count(const int64_t[::1] positions not None, int64_t size, int64_t escape):
    """Number of symbols for the positions, which are checked."""
    cdef int64_t previous = -1, gap, total = positions.shape[0]
    cdef Py_ssize_t i
    cdef bint ordered = True
    with nogil:
        for i in range(positions.shape[0]):
            if positions[i] <= previous or positions[i] >= size:
                ordered = False
                break
            gap = positions[i] - previous - 1
            total += gap // escape
            previous = positions[i]
    if not ordered:
        raise ValueError(
            f"positions increase strictly within 0..{size - 1}; entry {i} is {positions[i]}"
        )
    return total


@cython.boundscheck(False)
def encode(const int64_t[::1] positions not None, int64_t escape, symbol_t[::1] out not None):
    """Fill `out`, which has `symbol_count` entries."""
    cdef int64_t previous = -1, gap
    cdef Py_ssize_t i, at = 0
    with nogil:
        for i in range(positions.shape[0]):
            gap = positions[i] - previous - 1
            while gap >= escape:
                out[at] = <symbol_t>escape
                at += 1
                gap -= escape
            out[at] = <symbol_t>gap
            at += 1
            previous = positions[i]


@cython.boundscheck(False)
def decode(const symbol_t[::1] symbols not None, Py_ssize_t count, int64_t size, int64_t escape):
    cdef Py_ssize_t i, at = 0, n = symbols.shape[0]
    cdef int64_t position = -1
    if count > n or count > size:
        raise _damaged(n, f"{n} symbols cannot give {count} of {size} positions")
    positions = np.empty(count, np.int64)
    cdef int64_t[::1] out = positions
    with nogil:
        for i in range(n):
            if symbols[i] > escape:
                with gil:
                    raise _damaged(i, f"symbol {symbols[i]} is over {escape}")
            if symbols[i] == escape:
                position += escape
            else:
                position += symbols[i] + 1
                if at < count:
                    out[at] = position
                at += 1
            if position >= size:
                with gil:
                    raise _damaged(i, f"a position lies outside the tensor of {size} elements")
    if at != count:
        raise _damaged(n, f"{at} positions instead of {count}")
    if n and symbols[n - 1] == escape:
        raise _damaged(n - 1, "it ends with an escape")
    return positions


def _damaged(at, what):
    return BadStream(f"the relative index is damaged: {what}", where=f"symbol {at} of it")
