"""Pooling and SPP with Caffe's windows.

Caffe rounds the number of windows up; the last ones may reach beyond the padding, and an average
divides by the part of the window that lies in the image or its padding. ONNX's own rounding up
differs in both. So the padding at the end is stated here, exactly as far as the windows reach, and
an average is corrected by a constant map where its divisor is not the whole window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.interchange.onnx.graph import FLOAT, LayerGraph
from cmodel.interchange.onnx.windows import area, reach
from cmodel.net import Shape
from cmodel.net.shapes.spp import spp_windows
from cmodel.net.shapes.windows import Window, pooling_window
from cmodel.proto import caffe_pb2

LOWEST = np.finfo(np.float32).min


def pooling(layer: LayerGraph) -> Sequence[str]:
    """MAX, with the places of the maxima as a second top, or AVE."""
    param = layer.layer.param.pooling_param
    maximum = param.pool == caffe_pb2.PoolingParameter.MAX
    bottom, top = layer.bottoms[0], layer.tops[0]
    if param.global_pooling and len(layer.tops) == 1:
        return [layer.node("GlobalMaxPool" if maximum else "GlobalAveragePool", layer.x[0])]
    window = pooling_window(layer.layer, bottom)
    return _pool(layer, window, bottom[2:], top[2:], maximum, len(layer.tops))


def spp(layer: LayerGraph) -> Sequence[str]:
    """Pyramid levels, flattened and joined."""
    maximum = layer.layer.param.spp_param.pool == caffe_pb2.SPPParameter.MAX
    levels = []
    for level, window in enumerate(spp_windows(layer.layer, layer.bottoms[0])):
        bins = (2**level, 2**level)
        levels += _pool(layer, window, layer.bottoms[0][2:], bins, maximum, 1)
    if len(levels) == 1:
        return levels
    flat = [layer.node("Flatten", level, axis=1) for level in levels]
    return [layer.node("Concat", *flat, axis=1)]


def _pool(
    layer: LayerGraph, window: Window, size: Shape, out: Shape, maximum: bool, tops: int
) -> list[str]:
    x, begin, end = layer.x[0], window.pad, reach(window, size, out)
    if any(e >= k for e, k in zip(end, window.kernel, strict=True)):
        # Some window lies wholly outside, which ONNX's pooling refuses: pad beforehand.
        if tops > 1:
            raise layer.unsupported("the places of maxima where windows are empty")
        filling = layer.floats(LOWEST if maximum else 0)
        amounts = layer.integers([0, 0, *begin, 0, 0, *end])
        x = layer.node("Pad", x, amounts, filling)
        begin = end = (0, 0)
    options = {"kernel_shape": window.kernel, "strides": window.stride, "pads": begin + end}
    if maximum:
        y, *places = layer.nodes("MaxPool", [x], tops, **options)
        return [y, *(_places(layer, place, size) for place in places)]
    divisor = area(window, size, out, window.pad, window.pad)
    if not any(window.pad) and x == layer.x[0]:
        return [layer.node("AveragePool", x, **options)]
    y = layer.node("AveragePool", x, **options, count_include_pad=1)
    whole = window.kernel[0] * window.kernel[1]
    if (divisor == whole).all():
        return [y]
    # An empty window gives 0 / 0, as in Caffe.
    with np.errstate(divide="ignore"):
        return [layer.node("Mul", y, layer.floats(whole / divisor))]


def _places(layer: LayerGraph, index: str, size: Shape) -> str:
    """Turn places in the whole tensor into places in the plane, as floats."""
    plane = layer.node("Mod", index, layer.integers(size[0] * size[1]))
    return layer.node("Cast", plane, to=FLOAT)
