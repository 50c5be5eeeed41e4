"""Deconvolution by matrix multiplication and col2im."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.engine.ops.convolution import AXES, GemmKernel, spatial, window_of
from cmodel.engine.ops.many_axes import deconvolution_kernel
from cmodel.engine.ops.op import Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.windows import convolution_window


class Deconvolution(Op):
    """Weights (in, out / group, kernel...) and bias (out,), dense."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.weights = dense(parameters[0])
        bias = layer.param.convolution_param.bias_term
        self.bias: Array | None = dense(parameters[1]).reshape(-1) if bias else None

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to one geometry; each bottom is treated alike."""
        layer, bottom = self.layer, bottoms[0]
        window = convolution_window(layer, bottom)
        param = layer.param.convolution_param
        if len(window.kernel) > AXES:
            return deconvolution_kernel(window, param.group, self.weights, self.bias)
        from cmodel._gemm import Deconvolution as Gemm  # loads SciPy

        gemm = Gemm(
            prod(bottom[: window.axis]),
            param.group,
            param.num_output // param.group,
            spatial(tops[0][window.axis + 1 :], 1),
            spatial(bottom[window.axis + 1 :], 1),
            *window_of(window),
            self.weights.reshape(bottom[window.axis], -1),
            self.bias,
            team(threads, prod(bottom) * self.weights.size // bottom[window.axis]),
        )
        return GemmKernel(gemm)
