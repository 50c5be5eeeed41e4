"""Convolution and inner product by the engine's own kernels: which of them, their weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import ceil, prod

from cmodel import _engine
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.op import Array, dense
from cmodel.net import Parameter, Shape

# images, groups, channels of a group, then by axis: size, positions, kernel, stride, pad, dilation.
Shapes = tuple[int, int, int, Shape, Shape, Shape, Shape, Shape, Shape]

# Multiply-adds below which the engine's own threads are not worth waking.
LEAST_SHARED = 150_000

# The cost model of ADR 14, in nanoseconds on a core of 100 GFLOP/s; only ratios matter.
MULTIPLY_ADD = 1 / 42
TILE_IN, TILE_OUT = 9.0, 13.0
# Of a transformed weight that comes from memory, once for each unit of tiles.
WEIGHT = 0.16
PLACES, EDGE, VECTOR = 36, 6, 8


class Weights:
    """Of one layer, in the orders that kernels read; each is made when it is first asked for."""

    def __init__(self, form: Parameter, outputs: int) -> None:
        self.outputs = outputs
        self._form = form
        self._packed: dict[tuple[int, int], Array] = {}

    @cached_property
    def plain(self) -> Array:
        """(out, in / group * taps)."""
        return self._dense()

    def packed(self, groups: int, winograd: int) -> Array:
        """Return them for the plain sum, or for Winograd's filtering with kernels of this size."""
        key = groups, winograd
        if key not in self._packed:
            self._packed[key] = (
                _engine.pack_winograd(self._dense(), groups, winograd)
                if winograd
                else _engine.pack(self._dense(), groups)
            )
        return self._packed[key]

    def _dense(self) -> Array:
        return dense(self._form).reshape(self.outputs, -1)


class NativeKernel:
    """Treats each bottom alike; with a residual there is one, and the residual behind it."""

    def __init__(
        self, layer: _engine.Convolution | _engine.Dense | _engine.Coded, residual: bool
    ) -> None:
        self.layer = layer
        self.residual = residual
        self.space = layer.space

    def attach(self, space: Array) -> None:
        """Compute in this space from now on."""
        self._space = space

    def __call__(self, bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
        """Fill the tops."""
        if self.residual:
            x, added = bottoms
            self.layer.run(x.reshape(-1), tops[0].reshape(-1), added.reshape(-1), self._space)
            return
        for x, y in zip(bottoms, tops, strict=True):
            self.layer.run(x.reshape(-1), y.reshape(-1), None, self._space)


def winograd_pays(shapes: Shapes, outputs: int) -> bool:
    """Return whether Winograd's filtering is expected to be quicker than the plain sum."""
    images, _, channels, size, out, kernel, stride, pad, dilation = shapes
    if not (
        kernel in ((1, 3, 3), (1, 5, 5))
        and stride == dilation == (1, 1, 1)
        and size[0] == 1
        and pad[0] == 0
    ):
        return False
    edge = EDGE + 1 - kernel[1]
    tiles = images * ceil(out[1] / edge) * ceil(out[2] / edge)
    columns = VECTOR * ceil(tiles / VECTOR)
    plain = images * prod(out) * outputs * channels * prod(kernel) * MULTIPLY_ADD
    filtering = (
        PLACES * columns * outputs * channels * MULTIPLY_ADD
        + columns * (channels * TILE_IN + outputs * TILE_OUT)
        + PLACES * outputs * channels * WEIGHT
    )
    return filtering < plain


def native_kernel(
    shapes: Shapes, weights: Weights, finish: Finish, fast: bool, threads: int
) -> NativeKernel:
    """Return the kernel; `fast` allows Winograd's filtering."""
    groups, kernel = shapes[1], shapes[5]
    outputs = weights.outputs // groups
    winograd = fast and winograd_pays(shapes, outputs)
    convolution = _engine.Convolution(
        *shapes,
        weights.packed(groups, kernel[1] if winograd else 0),
        outputs,
        finish.native(weights.outputs),
        winograd,
        threads,
    )
    return NativeKernel(convolution, finish.residual)
