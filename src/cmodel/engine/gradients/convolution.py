"""Backward passes of Convolution and Deconvolution: each is the other's forward pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from cmodel._gemm import Convolution as Gemm
from cmodel._gemm import Deconvolution as TransposedGemm
from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.convolution import AXES, spatial, window_of
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.many_axes import convolution_kernel, deconvolution_kernel
from cmodel.engine.ops.op import Array, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.convolution import convolution_groups
from cmodel.net.shapes.windows import Window, convolution_window


class _Sliding(Gradient):
    """Each bottom is treated alike, and so is each top's gradient."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.weights = dense(parameters[0])

    def run(self, at: Pass) -> list[Array]:
        """Return the gradients."""
        found = []
        for gradient, bottom, top in zip(
            at.gradients, at.bottom_shapes, at.top_shapes, strict=True
        ):
            window = convolution_window(self.layer, bottom)
            axis = window.axis
            images = at.count * prod(bottom[:axis])
            out = np.empty((images, *bottom[axis:]), np.float32)
            source = np.ascontiguousarray(gradient.reshape(images, *top[axis:]))
            self.fill(replace(window, axis=1), source, out, at.threads)
            found.append(out.reshape(at.count, *bottom))
        return found

    @abstractmethod
    def fill(self, window: Window, source: Array, out: Array, threads: int) -> None:
        """Fill `out` (images, channels, ...) from `source`, the gradient of the tops."""


class Convolution(_Sliding):
    """Weights (out, in / group, kernel...)."""

    def fill(self, window: Window, source: Array, out: Array, threads: int) -> None:
        """Fill `out`."""
        images, outputs = source.shape[:2]
        channels = out.shape[1]
        groups = convolution_groups(self.layer, channels)
        weights = self.weights.reshape(outputs, channels // groups, -1)
        team_size = team(threads, source.size * weights.shape[1] * weights.shape[2])
        if _pointwise(window) and groups == 1:
            # The columns are the image: a convolution saves the copies of a transposed one.
            flipped = np.ascontiguousarray(weights[:, :, 0].T)
            _convolve(window, groups, flipped, source, out, team_size)
        elif len(window.kernel) > AXES:
            deconvolution_kernel(window, groups, self.weights, None)([source], [out])
        else:
            TransposedGemm(
                images,
                groups,
                channels // groups,
                spatial(out.shape[2:], 1),
                spatial(source.shape[2:], 1),
                *window_of(window),
                weights.reshape(outputs, -1),
                None,
                team_size,
            ).run(source.reshape(-1), out.reshape(-1))


class Deconvolution(_Sliding):
    """Weights (in, out / group, kernel...)."""

    def fill(self, window: Window, source: Array, out: Array, threads: int) -> None:
        """Fill `out`."""
        groups = self.layer.param.convolution_param.group
        weights = self.weights.reshape(out.shape[1], -1)
        _convolve(window, groups, weights, source, out, team(threads, out.size * weights.shape[1]))


def _pointwise(window: Window) -> bool:
    ones: Shape = (1,) * len(window.kernel)
    return window.kernel == ones and window.stride == ones and not any(window.pad)


def _convolve(
    window: Window, groups: int, weights: Array, source: Array, out: Array, threads: int
) -> None:
    """Fill `out` with `source` convolved by weights (outputs, channels of a group * kernel)."""
    if len(window.kernel) > AXES:
        convolution_kernel(window, groups, weights, Finish())([source], [out])
        return
    Gemm(
        len(source),
        groups,
        source.shape[1] // groups,
        spatial(source.shape[2:], 1),
        spatial(out.shape[2:], 1),
        *window_of(window),
        weights,
        None,
        None,
        threads,
    ).run(source.reshape(-1), out.reshape(-1))
