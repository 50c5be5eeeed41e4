"""Convolution and Deconvolution."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.interchange.onnx.graph import LayerGraph
from cmodel.net.shapes.convolution import convolution_groups
from cmodel.net.shapes.windows import convolution_window


def _emit(layer: LayerGraph, op: str) -> Sequence[str]:
    window = convolution_window(layer.layer, layer.bottoms[0])
    if not 1 <= len(window.kernel) <= 3:
        raise layer.unsupported(f"a convolution over {len(window.kernel)} spatial axes")
    operands = [layer.parameter(i) for i in range(len(layer.parameters))]
    tops = []
    for x, bottom, top in zip(layer.x, layer.bottoms, layer.tops, strict=True):
        # ONNX has one batch axis before the channels, Caffe any number.
        if window.axis != 1:
            x = layer.reshape(x, (1, *bottom[window.axis :]))
        y = layer.node(
            op,
            x,
            *operands,
            kernel_shape=window.kernel,
            strides=window.stride,
            pads=window.pad * 2,
            dilations=window.dilation,
            group=convolution_groups(layer.layer, bottom[window.axis]),
        )
        tops.append(y if window.axis == 1 else layer.reshape(y, top))
    return tops


def convolution(layer: LayerGraph) -> Sequence[str]:
    """One Conv for each bottom."""
    return _emit(layer, "Conv")


def deconvolution(layer: LayerGraph) -> Sequence[str]:
    """One ConvTranspose for each bottom; the weights lie alike."""
    return _emit(layer, "ConvTranspose")
