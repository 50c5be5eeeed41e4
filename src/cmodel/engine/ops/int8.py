"""Convolution and inner product of 8-bit integers: their weights, and which layers can have them.

Activations are integers of 7 bits without sign, weights of 8 bits with one; what the kernels sum
up is exact (B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2018, equations 2 to 8; the sums are brought back to float32).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from cmodel import _engine
from cmodel.engine.ops.costs import Shapes
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.op import Array
from cmodel.net import Parameter, Range
from cmodel.tensors import Linear

# Fewer channels of a group than this leave most of a word of four empty.
LEAST_CHANNELS = 3


@dataclass(frozen=True)
class Grid:
    """Which integer stands for an activation: round(x * inverse) + zero, 0 to INT8_LEVELS."""

    inverse: np.float32
    zero: int

    @property
    def step(self) -> float:
        """What one integer more is worth."""
        return 1 / float(self.inverse)


def grid_of(bounds: Range) -> Grid:
    """Return the grid of a range of activations; 0 is one of its points."""
    low, high = bounds
    levels = _engine.INT8_LEVELS
    # A range too narrow for its step's inverse to be finite is one of zeros only.
    step = max((high - low) / levels, float(np.finfo(np.float32).tiny) * levels)
    zero = min(max(round(-low / step), 0), levels)
    return Grid(np.float32(1 / step), zero)


class Int8Weights:
    """Of one layer: integers and what they are multiplied by, packed when first asked for."""

    def __init__(self, ints: NDArray[np.int8], scales: Array) -> None:
        # (outputs, inner), (outputs,)
        self.ints, self.scales = ints, scales
        self._packed: dict[tuple[int, int], _engine.Int8Weights] = {}
        self._rows: NDArray[np.int8] | None = None

    def packed(self, groups: int, taps: int) -> _engine.Int8Weights:
        """Return them as the convolution reads them."""
        if (groups, taps) not in self._packed:
            self._packed[groups, taps] = _engine.Int8Weights(self.ints, groups, taps)
        return self._packed[groups, taps]

    @property
    def rows(self) -> NDArray[np.int8]:
        """They as the inner product reads them."""
        if self._rows is None:
            self._rows = _engine.pack_int8(self.ints)
        return self._rows

    def offsets(self, grid: Grid) -> NDArray[np.int32]:
        """Return what makes the sums those of integers that are 0 where the activation is."""
        sums = self.ints.sum(axis=1, dtype=np.int64)
        return np.asarray(-grid.zero * sums).astype(np.int32)

    def finish(self, finish: Finish, grid: Grid) -> Finish:
        """Return what follows the sums of integers; scale and bias are there in any case."""
        scale = self.scales.astype(np.float64) * grid.step
        if finish.scale is not None:
            scale *= finish.scale
        bias = np.zeros(scale.size, np.float32) if finish.bias is None else finish.bias
        return replace(finish, scale=scale.astype(np.float32), bias=bias)


def int8_weights(form: Parameter, outputs: int) -> Int8Weights | None:
    """Return the weights of a layer, None where they are not signed 8-bit integers by row.

    Scales are of the whole tensor or of each output; zeros are 0.
    """
    if not isinstance(form, Linear) or form.ints.dtype != np.int8 or form.zeros.any():
        return None
    rows = np.ascontiguousarray(form.ints).reshape(outputs, -1)
    if form.groups not in (1, outputs) or not 0 < rows.shape[1] <= _engine.MOST_INT8_INNER:
        return None
    scales = np.broadcast_to(form.scales.to_dense().reshape(-1), (outputs,))
    return Int8Weights(rows.view(np.int8), np.ascontiguousarray(scales, np.float32))


def int8_suits(shapes: Shapes) -> bool:
    """Return whether a convolution has channels enough to fill words of four."""
    return shapes[2] >= LEAST_CHANNELS


def int8_convolution(
    shapes: Shapes, weights: Int8Weights, bounds: Range, finish: Finish, threads: int
) -> _engine.Int8Convolution:
    """Return the kernel for activations of this range."""
    grid = grid_of(bounds)
    return _engine.Int8Convolution(
        *shapes,
        weights.packed(shapes[1], prod(shapes[5])),
        weights.offsets(grid),
        grid.inverse,
        grid.zero,
        weights.finish(finish, grid).native(len(weights.scales)),
        threads,
    )


def int8_inner_product(
    rows: int, weights: Int8Weights, bounds: Range, finish: Finish, threads: int
) -> _engine.Int8Dense:
    """Return the kernel for so many rows of activations of this range."""
    grid = grid_of(bounds)
    return _engine.Int8Dense(
        rows,
        weights.ints.shape[1],
        weights.rows,
        weights.offsets(grid),
        grid.inverse,
        grid.zero,
        weights.finish(finish, grid).native(len(weights.scales)),
        threads,
    )
