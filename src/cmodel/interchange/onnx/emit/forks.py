"""Layers of Caffe's popular forks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.interchange.onnx.emit.activation import affine
from cmodel.interchange.onnx.graph import LayerGraph
from cmodel.net.shapes.bn import is_segnet
from cmodel.net.shapes.permute import permute_order
from cmodel.net.shapes.upsample import upsample_scale


def relu6(layer: LayerGraph) -> Sequence[str]:
    """x held between 0 and 6."""
    return [layer.node("Clip", layer.x[0], layer.floats(0), layer.floats(6))]


def permute(layer: LayerGraph) -> Sequence[str]:
    """The axes in another order."""
    order = permute_order(layer.layer, len(layer.bottoms[0]))
    return [layer.node("Transpose", layer.x[0], perm=order)]


def axpy(layer: LayerGraph) -> Sequence[str]:
    """A factor for each image and channel, times a blob, plus a blob."""
    shape = layer.bottoms[1][:2] + (1,) * (len(layer.bottoms[1]) - 2)
    factor = layer.x[0] if layer.bottoms[0] == shape else layer.reshape(layer.x[0], shape)
    return [layer.node("Add", layer.node("Mul", factor, layer.x[1]), layer.x[2])]


def bn(layer: LayerGraph) -> Sequence[str]:
    """slope (x - mean) / sqrt(variance + eps) + bias, by the stored statistics."""
    if is_segnet(layer.layer):
        raise layer.unsupported("a BN of SegNet: fold it, or write BatchNorm and Scale")
    operands = [layer.parameter(i, (layer.bottoms[0][1],)) for i in range(4)]
    eps = layer.layer.param.bn_param.eps
    return [layer.node("BatchNormalization", layer.x[0], *operands, epsilon=eps)]


def normalize(layer: LayerGraph) -> Sequence[str]:
    """x / sqrt(sum of squares + eps), times one factor or one for each channel."""
    param, rank = layer.layer.param.norm_param, len(layer.bottoms[0])
    axes = layer.integers(list(range(1, rank)) if param.across_spatial else [1])
    squares = layer.node("ReduceSumSquare", layer.x[0], axes)
    length = layer.node("Sqrt", affine(layer, squares, 1, param.eps))
    shape = () if param.channel_shared else (layer.bottoms[0][1], *(1,) * (rank - 2))
    return [layer.node("Mul", layer.node("Div", layer.x[0], length), layer.parameter(0, shape))]


def shuffle_channel(layer: LayerGraph) -> Sequence[str]:
    """Channels of the groups taken in turn."""
    bottom = layer.bottoms[0]
    group = layer.layer.param.shuffle_channel_param.group
    split = (bottom[0], group, bottom[1] // group, int(np.prod(bottom[2:])))
    turned = layer.node("Transpose", layer.reshape(layer.x[0], split), perm=[0, 2, 1, 3])
    return [layer.reshape(turned, bottom)]


def upsample(layer: LayerGraph) -> Sequence[str]:
    """Each value repeated over a rectangle."""
    if len(layer.x) == 2:
        raise layer.unsupported("an Upsample to the places of maxima")
    images, channels, height, width = layer.bottoms[0]
    down, across = upsample_scale(layer.layer, 1)
    x = layer.reshape(layer.x[0], (images, channels, height, 1, width, 1))
    repeated = layer.node("Tile", x, layer.integers([1, 1, 1, down, 1, across]))
    return [layer.reshape(repeated, layer.tops[0])]


def reorg(layer: LayerGraph) -> Sequence[str]:
    """Places become channels, in Darknet's order."""
    param = layer.layer.param.reorg_param
    stride = param.stride
    images, channels, height, width = layer.bottoms[0]
    channels //= stride * stride
    large = (images, channels, height, stride, width, stride)
    small = (images, stride, stride, channels, height, width)
    read, order = (small, (0, 3, 4, 1, 5, 2)) if param.reverse else (large, (0, 3, 5, 1, 2, 4))
    turned = layer.node("Transpose", layer.reshape(layer.x[0], read), perm=order)
    return [layer.reshape(turned, layer.tops[0])]


def interp(layer: LayerGraph) -> Sequence[str]:
    """Bilinear resizing, corners on corners."""
    param, x = layer.layer.param.interp_param, layer.x[0]
    if param.pad_beg or param.pad_end:
        starts = layer.integers([-param.pad_beg] * 2)
        ends = layer.integers([size + param.pad_end for size in layer.bottoms[0][2:]])
        x = layer.node("Slice", x, starts, ends, layer.integers([2, 3]))
    return [
        layer.node(
            "Resize",
            x,
            "",
            "",
            layer.integers(layer.tops[0][2:]),
            axes=[2, 3],
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )
    ]
