"""Convolution by im2col and matrix multiplication."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from math import prod

from cmodel._gemm import Convolution as Gemm
from cmodel._gemm import Deconvolution
from cmodel.engine.ops.many_axes import convolution_kernel
from cmodel.engine.ops.op import Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.convolution import convolution_groups
from cmodel.net.shapes.windows import Window, convolution_window

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
    """Weights (out, in / group, kernel...) and bias (out,), dense."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.convolution_param
        self.weights = dense(parameters[0]).reshape(param.num_output, -1)
        self.bias: Array | None = dense(parameters[1]).reshape(-1) if param.bias_term else None
        self.slope: float | None = None

    def rectified(self, slope: float) -> Convolution:
        """Return it with a ReLU, applied while the values are still in the cache."""
        other = copy(self)
        other.slope = slope
        return other

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to one geometry; each bottom is convolved alike."""
        layer, bottom = self.layer, bottoms[0]
        window = convolution_window(layer, bottom)
        groups = convolution_groups(layer, bottom[window.axis])
        if len(window.kernel) > AXES:
            return convolution_kernel(window, groups, self.weights, self.bias, self.slope)
        gemm = Gemm(
            prod(bottom[: window.axis]),
            groups,
            bottom[window.axis] // groups,
            spatial(bottom[window.axis + 1 :], 1),
            spatial(tops[0][window.axis + 1 :], 1),
            *window_of(window),
            self.weights,
            self.bias,
            self.slope,
            team(threads, prod(tops[0]) * self.weights.shape[1]),
        )
        return GemmKernel(gemm)
