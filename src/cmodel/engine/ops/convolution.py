"""Convolution: by the engine's own kernels, or by im2col and BLAS."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from math import prod

from cmodel import _engine
from cmodel._gemm import Convolution as Gemm
from cmodel._gemm import Deconvolution
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.many_axes import convolution_kernel
from cmodel.engine.ops.op import Array, Kernel, Op, dense, team
from cmodel.engine.ops.relu import ReLU
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.convolution import convolution_groups
from cmodel.net.shapes.windows import Window, convolution_window

# What the compiled kernels take.
AXES = 3
# Multiply-adds below which the engine's own threads are not worth waking.
LEAST_SHARED = 150_000


def spatial(sizes: Shape, missing: int) -> Shape:
    """Return sizes of exactly three spatial axes, with `missing` for those that are not there."""
    return (missing,) * (AXES - len(sizes)) + sizes


def window_of(window: Window) -> tuple[Shape, Shape, Shape, Shape]:
    """Return kernel, stride, pad and dilation for three axes."""
    return (
        spatial(window.kernel, 1),
        spatial(window.stride, 1),
        spatial(window.pad, 0),
        spatial(window.dilation, 1),
    )


@dataclass(frozen=True)
class GemmKernel:
    """Treats each bottom alike."""

    gemm: Gemm | Deconvolution

    @property
    def scratch_bytes(self) -> int:
        """Bytes that it holds besides the blobs."""
        return self.gemm.scratch_bytes

    def __call__(self, bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
        """Fill the tops."""
        for x, y in zip(bottoms, tops, strict=True):
            self.gemm.run(x.reshape(-1), y.reshape(-1))


# images, groups, channels of a group, then by axis: size, positions, kernel, stride, pad, dilation.
Shapes = tuple[int, int, int, Shape, Shape, Shape, Shape, Shape, Shape]


class NativeKernel:
    """Treats each bottom alike; with a residual there is one, and the residual behind it."""

    def __init__(self, convolution: _engine.Convolution, residual: bool) -> None:
        self.convolution = convolution
        self.residual = residual
        self.space = convolution.space

    def attach(self, space: Array) -> None:
        """Compute in this space from now on."""
        self._space = space

    def __call__(self, bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
        """Fill the tops."""
        if self.residual:
            x, added = bottoms
            self.convolution.run(x.reshape(-1), tops[0].reshape(-1), added.reshape(-1), self._space)
            return
        for x, y in zip(bottoms, tops, strict=True):
            self.convolution.run(x.reshape(-1), y.reshape(-1), None, self._space)


class Weights:
    """Of one layer, in the orders that kernels read; each is made when it is first asked for."""

    def __init__(self, form: Parameter, outputs: int) -> None:
        self._form = form
        self._outputs = outputs
        self._packed: dict[int, Array] = {}

    @cached_property
    def plain(self) -> Array:
        """(out, in / group * taps)."""
        return dense(self._form).reshape(self._outputs, -1)

    def packed(self, groups: int) -> Array:
        """Return them in the order of the engine's matrix product."""
        if groups not in self._packed:
            self._packed[groups] = _engine.pack(
                dense(self._form).reshape(self._outputs, -1), groups
            )
        return self._packed[groups]


class Convolution(Op):
    """Weights (out, in / group, kernel...) and bias (out,)."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.convolution_param
        self.outputs: int = param.num_output
        self.weights = Weights(parameters[0], self.outputs)
        self.finish = Finish(bias=dense(parameters[1]).reshape(-1) if param.bias_term else None)

    def followed(self, following: Op) -> Convolution | None:
        """Return it with an operation that is done while the values are still in registers."""
        if len(self.layer.bottoms) != 1:
            return None
        # Parameters of what follows are by axis 1.
        whole = _engine.available() and self.layer.param.convolution_param.axis == 1
        if not (whole or isinstance(following, ReLU)):
            return None
        finish = self.finish.then(following, self.outputs)
        if finish is None:
            return None
        other = copy(self)
        other.finish = finish
        return other

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to one geometry; each bottom is convolved alike."""
        layer, bottom = self.layer, bottoms[0]
        window = convolution_window(layer, bottom)
        groups = convolution_groups(layer, bottom[window.axis])
        if len(window.kernel) > AXES:
            return convolution_kernel(window, groups, self.weights.plain, self.finish)
        shapes = (
            prod(bottom[: window.axis]),
            groups,
            bottom[window.axis] // groups,
            spatial(bottom[window.axis + 1 :], 1),
            spatial(tops[0][window.axis + 1 :], 1),
            *window_of(window),
        )
        work = prod(tops[0]) * bottom[window.axis] // groups * prod(window.kernel)
        if _engine.available():
            return self._native(shapes, threads if work >= LEAST_SHARED else 1)
        gemm = Gemm(
            *shapes,
            self.weights.plain,
            self.finish.bias,
            self.finish.slope,
            team(threads, work),
        )
        return GemmKernel(gemm)

    def _native(self, shapes: Shapes, threads: int) -> NativeKernel:
        groups = shapes[1]
        convolution = _engine.Convolution(
            *shapes,
            self.weights.packed(groups),
            self.outputs // groups,
            self.finish.native(self.outputs),
            threads,
        )
        return NativeKernel(convolution, self.finish.residual)
