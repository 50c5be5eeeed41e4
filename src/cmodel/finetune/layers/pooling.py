"""Pooling as Caffe rounds and clips it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cmodel.errors import UnsupportedError
from cmodel.finetune.layers.registry import Call, twin
from cmodel.net import Shape
from cmodel.net.shapes.rule import place
from cmodel.net.shapes.windows import Window, pooled_size, pooling_window
from cmodel.proto import caffe_pb2

# Below every number that a maximum may be taken of; what an empty window gives in Caffe.
LOWEST = -3.4028234663852886e38


def _framed(x: Tensor, window: Window, size: Shape, fill: float) -> Tensor:
    """Pad (or cut) an image so that windows without padding give exactly `size`."""
    (kh, kw), (sh, sw), (ph, pw) = window.kernel, window.stride, window.pad
    bottom = (size[0] - 1) * sh + kh - ph - x.shape[2]
    right = (size[1] - 1) * sw + kw - pw - x.shape[3]
    if not any((ph, pw, bottom, right)):
        return x
    return F.pad(x, (pw, right, ph, bottom), value=fill)


def _counts(size: int, kernel: int, stride: int, pad: int, tops: int) -> Tensor:
    """Return how many places of a window count: those in the image and its padding."""
    starts = torch.arange(tops) * stride - pad
    return (starts + kernel).clamp(max=size + pad) - starts


def average(x: Tensor, window: Window, size: Shape) -> Tensor:
    """Return the means of windows, by Caffe's count: the padding is in, what lies beyond is not."""
    total = F.avg_pool2d(
        _framed(x, window, size, 0.0), window.kernel, window.stride, divisor_override=1
    )
    rows, columns = (
        _counts(x.shape[axis + 2], window.kernel[axis], window.stride[axis], window.pad[axis], n)
        for axis, n in enumerate(size)
    )
    return total / (rows[:, None] * columns)


@twin("Pooling")
def pooling(call: Call) -> list[Tensor]:
    """MAX or AVE; a last window may hang over the border."""
    layer, x = call.layer, call.bottoms[0]
    window = pooling_window(layer, call.shapes[0])
    size = pooled_size(layer, call.shapes[0], window)
    if len(layer.tops) > 1:
        raise UnsupportedError("the positions of maxima do not train", where=place(layer))
    if layer.param.pooling_param.pool != caffe_pb2.PoolingParameter.MAX:
        return [average(x, window, size)]
    return [F.max_pool2d(_framed(x, window, size, LOWEST), window.kernel, window.stride)]
