"""Convolution: by the engine's own kernels, or by im2col and BLAS."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from cmodel import _engine
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.int8 import int8_convolution, int8_suits
from cmodel.engine.ops.many_axes import convolution_kernel
from cmodel.engine.ops.native import LEAST_SHARED, Weights, native_kernel
from cmodel.engine.ops.op import Array, Held, Kernel, NativeKernel, Op, dense, team
from cmodel.engine.ops.relu import ReLU
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.convolution import convolution_groups
from cmodel.net.shapes.windows import Window, convolution_window

if TYPE_CHECKING:
    from cmodel._gemm import Convolution as Gemm
    from cmodel._gemm import Deconvolution

# What the compiled kernels take.
AXES = 3


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


class Convolution(Op):
    """Weights (out, in / group, kernel...) and bias (out,)."""

    by_image = True

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.convolution_param
        self.outputs: int = param.num_output
        self.weights = Weights(Held(parameters, 0), self.outputs)
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
        try:
            return self._bind(bottoms, tops, threads)
        finally:
            self.weights.held.release()

    def _bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
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
        workers = threads if work >= LEAST_SHARED else 1
        if self.range is not None and int8_suits(shapes) and (int8 := self.weights.int8):
            layer_of_int8 = int8_convolution(shapes, int8, self.range, self.finish, workers)
            return NativeKernel(layer_of_int8, self.finish.residual)
        if _engine.available():
            allowed = self.fast, self.compressed
            return native_kernel(shapes, self.weights, self.finish, *allowed, workers)
        # SciPy, whose BLAS it calls, takes longer to load than most nets to run.
        from cmodel._gemm import Convolution as Gemm

        gemm = Gemm(
            *shapes,
            self.weights.plain,
            self.finish.bias,
            self.finish.slope,
            team(threads, work),
        )
        return GemmKernel(gemm)
