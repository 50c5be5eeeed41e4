"""Convolution and Deconvolution."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.interchange.onnx.graph import LayerGraph
from cmodel.net.shapes.windows import convolution_window


def _emit(layer: LayerGraph, op: str) -> Sequence[str]:
    param = layer.layer.param.convolution_param
    window = convolution_window(layer.layer, layer.bottoms[0])
    if not window.kernel:
        raise layer.unsupported("a convolution without spatial axes")
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
            group=param.group,
        )
        tops.append(y if window.axis == 1 else layer.reshape(y, top))
    return tops


def convolution(layer: LayerGraph) -> Sequence[str]:
    """One Conv for each bottom."""
    return _emit(layer, "Conv")


def deconvolution(layer: LayerGraph) -> Sequence[str]:
    """One ConvTranspose for each bottom; the weights lie alike."""
    return _emit(layer, "ConvTranspose")
