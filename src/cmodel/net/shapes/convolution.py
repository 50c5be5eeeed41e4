"""Convolution, Deconvolution and Im2col."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_same, fail, positive
from cmodel.net.shapes.windows import convolution_window, convolved_size


def convolution_groups(layer: Layer, channels: int) -> int:
    """Return the number of groups; a ConvolutionDepthwise has one for each channel."""
    if layer.type == "ConvolutionDepthwise":
        return channels
    return positive(layer, layer.param.convolution_param.group, "group")


def _channels(layer: Layer, bottoms: Sequence[Shape]) -> tuple[int, int, int]:
    """Return channels in, channels out and groups."""
    if not bottoms or len(bottoms) != len(layer.tops):
        raise fail(
            layer, f"{len(bottoms)} bottom blobs and {len(layer.tops)} tops: one top for each"
        )
    expect_same(layer, bottoms)
    param = layer.param.convolution_param
    inputs = bottoms[0][convolution_window(layer, bottoms[0]).axis]
    outputs = positive(layer, param.num_output, "num_output")
    group = convolution_groups(layer, inputs)
    if inputs % group or outputs % group:
        raise fail(
            layer,
            f"group {group} does not divide {inputs} input and {outputs} output channels",
            blob=layer.bottoms[0],
        )
    return inputs, outputs, group


def _with_bias(layer: Layer, weights: Shape, outputs: int) -> list[Shape]:
    bias: list[Shape] = [(outputs,)] if layer.param.convolution_param.bias_term else []
    return [weights, *bias]


def convolution(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Tops of `num_output` channels; weights (out, in / group, kernel...), bias (out,)."""
    inputs, outputs, group = _channels(layer, bottoms)
    window = convolution_window(layer, bottoms[0])
    top = (*bottoms[0][: window.axis], outputs, *convolved_size(layer, bottoms[0], window))
    weights = (outputs, inputs // group, *window.kernel)
    return LayerShapes([top] * len(bottoms), _with_bias(layer, weights, outputs))


def deconvolution(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Tops of stride (i - 1) + extent - 2 pad; weights (in, out / group, kernel...)."""
    inputs, outputs, group = _channels(layer, bottoms)
    window = convolution_window(layer, bottoms[0])
    spatial = [
        stride * (size - 1) + extent - 2 * pad
        for size, extent, stride, pad in zip(
            bottoms[0][window.axis + 1 :], window.extent, window.stride, window.pad, strict=True
        )
    ]
    top = (*bottoms[0][: window.axis], outputs, *spatial)
    weights = (inputs, outputs // group, *window.kernel)
    return LayerShapes([top] * len(bottoms), _with_bias(layer, weights, outputs))


def im2col(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (..., C * prod(kernel), out...): the patches that a convolution multiplies."""
    if len(bottoms) != 1 or len(layer.tops) != 1:
        raise fail(layer, f"{len(bottoms)} bottom blobs and {len(layer.tops)} tops: one of each")
    window = convolution_window(layer, bottoms[0])
    channels = bottoms[0][window.axis] * prod(window.kernel)
    top = (*bottoms[0][: window.axis], channels, *convolved_size(layer, bottoms[0], window))
    return LayerShapes([top])
