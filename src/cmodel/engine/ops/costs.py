"""Which kernel is expected to be the quickest: the models of ADR 14 and ADR 19.

In nanoseconds on a core of 100 GFLOP/s; only ratios matter. A plan is the same on every machine.
"""

from __future__ import annotations

from math import ceil, inf, prod

from cmodel import _engine
from cmodel.net import Shape

# images, groups, channels of a group, then by axis: size, positions, kernel, stride, pad, dilation.
Shapes = tuple[int, int, int, Shape, Shape, Shape, Shape, Shape, Shape]

# Convolutions: the plain sum.
MULTIPLY_ADD = 1 / 42
# Winograd's filtering, by the rows of a tile: a tile and channel in, a tile and output back.
TILE_IN, TILE_OUT = {6: 9.0, 4: 3.5}, {6: 13.0, 4: 4.0}
# Of a transformed weight that comes from memory, once for each unit of tiles.
WEIGHT = 0.16
VECTOR = 8
# The sparse sum: a column of a block of 1 or 4 rows at a position; a result.
COLUMN = {1: 1 / 12, 4: 1 / 6}
RESULT = 0.6
# Blocks of 4 rows cost half as much as rows at most.
MOST_GAIN = 2.0
# What the sparse convolution counts with 32 bits.
MOST_FLOATS = 1 << 30

# Inner products: a weight from memory or, where all fit, from the cache; a multiply-add of many.
LARGE = 1 << 18
FROM_MEMORY, FROM_CACHE = 0.19, 0.1
PRODUCT = 0.03
# Sparse: a stored weight for one row of x, for a panel and for each eight rows of it; a result.
GATHERED, PANEL, PANEL_ROWS = 0.6, 0.4, 0.5
OUTPUT = 5.0


def plain_cost(shapes: Shapes, outputs: int) -> float:
    """Return the cost of the plain sum, with so many outputs of a group."""
    images, groups, channels, _, out, kernel, *_ = shapes
    columns = VECTOR * ceil(images * prod(out) / VECTOR)
    return groups * columns * outputs * channels * prod(kernel) * MULTIPLY_ADD


def winograd_cost(shapes: Shapes, outputs: int) -> tuple[float, int]:
    """Return the cost of Winograd's filtering, and the rows of a tile; inf where there is none."""
    images, groups, channels, size, out, kernel, stride, pad, dilation = shapes
    if not (
        kernel in ((1, 3, 3), (1, 5, 5))
        and stride == dilation == (1, 1, 1)
        and size[0] == 1
        and pad[0] == 0
    ):
        return inf, 0
    costs = []
    for rows in (6, 4) if kernel[1] == 3 else (6,):
        edge = rows + 1 - kernel[1]
        tiles = images * ceil(out[1] / edge) * ceil(out[2] / edge)
        columns = VECTOR * ceil(tiles / VECTOR)
        cost = (
            rows * rows * columns * outputs * channels * MULTIPLY_ADD
            + columns * (channels * TILE_IN[rows] + outputs * TILE_OUT[rows])
            + rows * rows * outputs * channels * WEIGHT
        )
        costs.append((groups * cost, rows))
    return min(costs)


def _is_flat(shapes: Shapes) -> bool:
    """Whether positions lie one behind the other in the image."""
    return shapes[5] == shapes[6] == (1, 1, 1) and not any(shapes[7])


def sparse_suits(shapes: Shapes, outputs: int) -> bool:
    """Return whether the sparse convolution can be used."""
    _, _, channels, size, out, _, stride, pad, _ = shapes
    if channels == 1 and outputs == 1:
        return False
    if channels * prod(s + 2 * p + t for s, p, t in zip(size, pad, stride, strict=True)) > (
        MOST_FLOATS
    ):
        return False
    copied = any(pad) or stride[2] > 1
    return copied or (prod(out) if _is_flat(shapes) else out[2]) >= _engine.lanes()


def sparse_cost(shapes: Shapes, outputs: int, rows: int, columns: int) -> float:
    """Return the cost of the sparse sum: blocks of 1 or 4 rows that have so many columns in all."""
    images, groups, out = shapes[0], shapes[1], shapes[4]
    width = prod(out) if _is_flat(shapes) else out[2]
    computed = prod(out) // width * VECTOR * ceil(width / VECTOR)
    results = images * groups * outputs * prod(out)
    return images * computed * columns * COLUMN[rows] + results * RESULT


def sparse_product_pays(rows: int, outputs: int, inner: int, stored: int) -> bool:
    """Return whether the sparse inner product of so many rows is expected to be quicker."""
    weights = outputs * inner
    dense = weights * max(FROM_MEMORY if weights > LARGE else FROM_CACHE, rows * PRODUCT)
    each = GATHERED if rows == 1 else PANEL + PANEL_ROWS * ceil(rows / VECTOR)
    return stored * each + outputs * rows * OUTPUT < dense


def coded_pays(rows: int, outputs: int, inner: int) -> bool:
    """Return whether looking indices up is expected to be quicker: where memory is the limit."""
    return rows <= _engine.MOST_CODED_ROWS and outputs * inner > LARGE
