"""Pooling and SPP with Caffe's windows.

Caffe rounds the number of windows up; the last ones may reach beyond the padding, and an average
divides by the part of the window that lies in the image or its padding. ONNX's own rounding up
differs in both. So the padding at the end is stated here, exactly as far as the windows reach, and
an average is corrected by a constant map where its divisor is not the whole window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmodel.interchange.onnx.graph import FLOAT, LayerGraph
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
    reach = _reach(window, size, out)
    x, begin, end = layer.x[0], window.pad, reach
    if any(e >= k for e, k in zip(reach, window.kernel, strict=True)):
        # Some window lies wholly outside, which ONNX's pooling refuses: pad beforehand.
        if tops > 1:
            raise layer.unsupported("the places of maxima where windows are empty")
        filling = layer.floats(LOWEST if maximum else 0)
        amounts = layer.integers([0, 0, *window.pad, 0, 0, *reach])
        x = layer.node("Pad", x, amounts, filling)
        begin = end = (0, 0)
    options = {"kernel_shape": window.kernel, "strides": window.stride, "pads": begin + end}
    if maximum:
        y, *places = layer.nodes("MaxPool", [x], tops, **options)
        return [y, *(_places(layer, place, size) for place in places)]
    area = _area(window, size, out)
    if not any(begin) and (area == _inside(window, size, out)).all() and x == layer.x[0]:
        return [layer.node("AveragePool", x, **options)]
    y = layer.node("AveragePool", x, **options, count_include_pad=1)
    whole = window.kernel[0] * window.kernel[1]
    if (area == whole).all():
        return [y]
    # An empty window gives 0 / 0, as in Caffe.
    with np.errstate(divide="ignore"):
        return [layer.node("Mul", y, layer.floats(whole / area))]


def _reach(window: Window, size: Shape, out: Shape) -> Shape:
    """Return how far the windows reach beyond the end of the image."""
    return tuple(
        max((o - 1) * s + k - n - p, 0)
        for o, s, k, n, p in zip(out, window.stride, window.kernel, size, window.pad, strict=True)
    )


def _lengths(window: Window, size: Shape, out: Shape, padded: bool) -> list[NDArray[np.float64]]:
    """Return, for each axis, the length of each window inside the image (and its padding)."""
    lengths = []
    for o, s, k, n, p in zip(out, window.stride, window.kernel, size, window.pad, strict=True):
        start = np.arange(o) * s - p
        end = np.minimum(start + k, n + p if padded else n)
        lengths.append((end - (start if padded else np.maximum(start, 0))).astype(np.float64))
    return lengths


def _area(window: Window, size: Shape, out: Shape) -> NDArray[np.float64]:
    """Return what Caffe divides each average by, (1, 1, out...)."""
    rows, columns = _lengths(window, size, out, padded=True)
    return np.outer(rows, columns)[None, None]


def _inside(window: Window, size: Shape, out: Shape) -> NDArray[np.float64]:
    """Return how many elements of the image each window has."""
    rows, columns = _lengths(window, size, out, padded=False)
    return np.outer(rows, columns)[None, None]


def _places(layer: LayerGraph, index: str, size: Shape) -> str:
    """Turn places in the whole tensor into places in the plane, as floats."""
    plane = layer.node("Mod", index, layer.integers(size[0] * size[1]))
    return layer.node("Cast", plane, to=FLOAT)
