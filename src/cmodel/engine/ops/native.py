"""Convolution and inner product by the engine's own kernels: which of them, their weights."""

from __future__ import annotations

from functools import cached_property

from cmodel import _engine
from cmodel.engine.ops.compressed import Blocks, SparseRows, blocks_of, sparse_rows
from cmodel.engine.ops.costs import (
    MOST_GAIN,
    Shapes,
    plain_cost,
    sparse_cost,
    sparse_suits,
    winograd_cost,
)
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.int8 import Int8Weights, int8_weights
from cmodel.engine.ops.op import Array, Held, NativeKernel, dense

# Multiply-adds below which the engine's own threads are not worth waking.
LEAST_SHARED = 150_000


class Weights:
    """Of one layer, in the orders that kernels read; each is made when it is first asked for."""

    def __init__(self, held: Held, outputs: int) -> None:
        self.outputs = outputs
        self.held = held
        self._packed: dict[tuple[int, int], Array] = {}
        self._blocks: dict[int, Blocks | None] = {}

    @cached_property
    def plain(self) -> Array:
        """(out, in / group * taps)."""
        return self._dense()

    @cached_property
    def int8(self) -> Int8Weights | None:
        """Those of a form of 8-bit integers."""
        return int8_weights(self.held.form, self.outputs)

    def packed(self, groups: int, kernel: int, winograd: int) -> Array:
        """Return them for the plain sum, or for Winograd's filtering by tiles of so many rows."""
        key = groups, winograd
        if key not in self._packed:
            self._packed[key] = (
                _engine.pack_winograd(self._dense(), groups, kernel, winograd)
                if winograd
                else _engine.pack(self._dense(), groups)
            )
        return self._packed[key]

    @cached_property
    def sparse(self) -> SparseRows | None:
        """The stored weights of a sparse form."""
        return sparse_rows(self.held.form, self.outputs)

    def blocks(self, rows: int) -> Blocks | None:
        """Return the blocks of so many rows of a sparse form."""
        if rows not in self._blocks:
            self._blocks[rows] = None if self.sparse is None else blocks_of(self.sparse, rows)
        return self._blocks[rows]

    def _dense(self) -> Array:
        return dense(self.held.form).reshape(self.outputs, -1)


def sparse_blocks(shapes: Shapes, weights: Weights, fast: bool) -> Blocks | None:
    """Return the weights for the sparse convolution, None where the dense one is quicker."""
    outputs = weights.outputs // shapes[1]
    if not sparse_suits(shapes, outputs) or (sparse := weights.sparse) is None:
        return None
    least = plain_cost(shapes, outputs)
    if fast:
        least = min(least, winograd_cost(shapes, outputs)[0])
    # Rows by themselves first: if these take far too long, so do four together.
    if sparse_cost(shapes, outputs, 1, sparse.stored) > MOST_GAIN * least:
        return None
    found = None
    for rows in (1, 4):
        if outputs % rows == 0 and (blocks := weights.blocks(rows)) is not None:
            cost = sparse_cost(shapes, outputs, rows, blocks.columns.size)
            if cost < least:
                found, least = blocks, cost
    return found


def native_kernel(
    shapes: Shapes,
    weights: Weights,
    finish: Finish,
    fast: bool,
    compressed: bool,
    threads: int,
) -> NativeKernel:
    """Return the kernel; `fast` allows Winograd's filtering, `compressed` sparse weights."""
    groups, kernel = shapes[1], shapes[5]
    outputs = weights.outputs // groups
    blocks = sparse_blocks(shapes, weights, fast) if compressed else None
    if blocks is not None:
        sparse = _engine.SparseConvolution(
            *shapes,
            blocks.rows,
            blocks.starts,
            blocks.columns,
            blocks.weights,
            outputs,
            finish.native(weights.outputs),
            threads,
        )
        return NativeKernel(sparse, finish.residual)
    cost, size = winograd_cost(shapes, outputs)
    winograd = size if fast and cost < plain_cost(shapes, outputs) else 0
    convolution = _engine.Convolution(
        *shapes,
        weights.packed(groups, kernel[1], winograd),
        outputs,
        finish.native(weights.outputs),
        winograd,
        threads,
    )
    return NativeKernel(convolution, finish.residual)
