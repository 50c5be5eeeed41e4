"""Convolution and deconvolution over more spatial axes than the compiled kernels take.

Such nets are rare, so this is plain NumPy: for each tap of the kernel one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.op import Array, PlainKernel
from cmodel.net import Shape
from cmodel.net.shapes.windows import Window


def _taps(window: Window, positions: Shape) -> Iterator[tuple[int, Any]]:
    """Yield each tap's number and where it stands, for all positions, in a padded image."""
    for number, tap in enumerate(np.ndindex(*window.kernel)):
        yield (
            number,
            (
                ...,
                *(
                    slice(k * d, k * d + (n - 1) * s + 1, s)
                    for k, d, n, s in zip(
                        tap, window.dilation, positions, window.stride, strict=True
                    )
                ),
            ),
        )


def _with_bias(y: NDArray[np.float64], bias: Array | None) -> NDArray[np.float64]:
    return y if bias is None else y + bias[:, None]


def convolution_kernel(window: Window, groups: int, weights: Array, finish: Finish) -> PlainKernel:
    """Return the kernel for weights (out, in / group * taps); a residual is its second bottom."""
    taps = prod(window.kernel)
    parts = weights.reshape(groups, len(weights) // groups, -1, taps)

    def convolve(x: Array, y: Array) -> None:
        spatial, positions = x.shape[window.axis + 1 :], y.shape[window.axis + 1 :]
        images = prod(x.shape[: window.axis])
        image = x.reshape(images, groups, -1, *spatial)
        padded = np.pad(image, [(0, 0)] * 3 + [(pad, pad) for pad in window.pad])
        total = np.zeros((images, *parts.shape[:2], prod(positions)))
        for number, place in _taps(window, positions):
            total += parts[..., number] @ padded[place].reshape(images, groups, -1, prod(positions))
        result = total.reshape(images, len(weights), -1)
        if finish.scale is not None:
            result *= finish.scale[:, None]
        y[...] = _with_bias(result, finish.bias).reshape(y.shape)

    def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
        for x, y in zip(bottoms, tops, strict=not finish.residual):
            convolve(x, y)
            if finish.residual:
                y += bottoms[1]
            if finish.slope is not None:
                np.multiply(y, np.float32(finish.slope), out=y, where=y < 0)

    return kernel


def deconvolution_kernel(
    window: Window, groups: int, weights: Array, bias: Array | None
) -> PlainKernel:
    """Return the kernel for weights (in, out / group, kernel...)."""
    taps = prod(window.kernel)
    parts = weights.reshape(groups, weights.shape[0] // groups, -1, taps).swapaxes(1, 2)

    def deconvolve(x: Array, y: Array) -> None:
        positions, spatial = x.shape[window.axis + 1 :], y.shape[window.axis + 1 :]
        images = prod(x.shape[: window.axis])
        columns = x.reshape(images, groups, -1, prod(positions))
        outputs = parts.shape[1]
        padded = np.zeros(
            (
                images,
                groups,
                outputs,
                *(n + 2 * p for n, p in zip(spatial, window.pad, strict=True)),
            )
        )
        for number, place in _taps(window, positions):
            part = parts[..., number] @ columns
            padded[place] += part.reshape(images, groups, outputs, *positions)
        inside: Any = (
            ...,
            *(slice(p, p + n) for n, p in zip(spatial, window.pad, strict=True)),
        )
        total = padded[inside].reshape(images, groups * outputs, -1)
        y[...] = _with_bias(total, bias).reshape(y.shape)

    def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
        for x, y in zip(bottoms, tops, strict=True):
            deconvolve(x, y)

    return kernel
