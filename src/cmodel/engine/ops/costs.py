"""When a kernel on compressed weights is expected to be quicker than the dense one.

The model of ADR 17, in nanoseconds; only ratios matter. A plan is the same on every machine.
"""

from __future__ import annotations

from cmodel import _engine

# Inner products. Dense: a weight from memory or, where all fit, from the cache; a multiply-add.
LARGE = 1 << 18
FROM_MEMORY, FROM_CACHE = 0.19, 0.1
MULTIPLY_ADD = 0.03
# Sparse: a stored weight for one row of x, for a panel of eight rows and for each eight; a row.
GATHERED, PANEL, PANEL_ROWS = 0.6, 0.4, 0.5
OUTPUT = 5.0
EIGHT = 8


def _dense(rows: int, weights: int) -> float:
    return weights * max(FROM_MEMORY if weights > LARGE else FROM_CACHE, rows * MULTIPLY_ADD)


def sparse_product_pays(rows: int, outputs: int, inner: int, stored: int) -> bool:
    """Return whether the sparse inner product is expected to be quicker."""
    each = GATHERED if rows == 1 else PANEL + PANEL_ROWS * -(-rows // EIGHT)
    return stored * each + outputs * rows * OUTPUT < _dense(rows, outputs * inner)


def coded_pays(rows: int, outputs: int, inner: int) -> bool:
    """Return whether looking indices up is expected to be quicker: where memory is the limit."""
    return rows <= _engine.MOST_CODED_ROWS and outputs * inner > LARGE
