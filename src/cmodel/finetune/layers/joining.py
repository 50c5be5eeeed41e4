"""Layers that join, cut, reshape and reorder blobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from cmodel.finetune.layers.registry import Call, twin
from cmodel.net import Layer, Shape
from cmodel.net.shapes.concat import concat_axis
from cmodel.net.shapes.crop import crop_offsets
from cmodel.net.shapes.permute import permute_order
from cmodel.net.shapes.registry import RULES
from cmodel.net.shapes.slice import slice_axis
from cmodel.proto import caffe_pb2


def _tops(layer: Layer, shapes: list[Shape]) -> list[Shape]:
    """Return the shapes of a layer's tops, by the rule that every part of the package follows."""
    rule = RULES.get(layer.type)
    if rule is None:
        raise AssertionError(f"`{layer.type}` has a twin but no shape rule")
    return [shape for shape in rule(layer, shapes).tops if shape is not None]


@twin("Concat")
def concat(call: Call) -> list[Tensor]:
    """Along an axis, by the new field or the old one."""
    axis = concat_axis(call.layer, call.bottoms[0].ndim)
    return [torch.cat(list(call.bottoms), dim=axis)]


@twin("Slice")
def slice_(call: Call) -> list[Tensor]:
    """Consecutive parts."""
    axis = slice_axis(call.layer, call.bottoms[0].ndim)
    sizes = [shape[axis] for shape in _tops(call.layer, call.shapes)]
    return list(torch.split(call.bottoms[0], sizes, dim=axis))


@twin("Split")
def split(call: Call) -> list[Tensor]:
    """The same for each top."""
    return [call.bottoms[0]] * len(call.layer.tops)


@twin("Flatten", "Reshape")
def reshape(call: Call) -> list[Tensor]:
    """Another shape."""
    return [call.bottoms[0].reshape(_tops(call.layer, call.shapes)[0])]


@twin("Eltwise")
def eltwise(call: Call) -> list[Tensor]:
    """Product, weighted sum or maximum."""
    param = call.layer.param.eltwise_param
    if param.operation == caffe_pb2.EltwiseParameter.SUM and param.coeff:
        terms = [x * c for x, c in zip(call.bottoms, param.coeff, strict=True)]
        return [reduce(torch.add, terms)]
    fold: dict[Any, Callable[..., Any]] = {
        caffe_pb2.EltwiseParameter.PROD: torch.mul,
        caffe_pb2.EltwiseParameter.SUM: torch.add,
        caffe_pb2.EltwiseParameter.MAX: torch.maximum,
    }
    return [reduce(fold[param.operation], call.bottoms)]


@twin("Axpy")
def axpy(call: Call) -> list[Tensor]:
    """A factor for each image and channel, times the second bottom, plus the third."""
    factor, x, y = call.bottoms
    return [factor.reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) * x + y]


@twin("Crop")
def crop(call: Call) -> list[Tensor]:
    """A part as large as the second bottom."""
    offsets = crop_offsets(call.layer, call.shapes)
    top = _tops(call.layer, call.shapes)[0]
    x = call.bottoms[0]
    for axis, (start, size) in enumerate(zip(offsets, top, strict=True)):
        x = x.narrow(axis, start, size)
    return [x]


@twin("Permute")
def permute(call: Call) -> list[Tensor]:
    """The axes in another order."""
    x = call.bottoms[0]
    return [x.permute(*permute_order(call.layer, x.ndim))]


@twin("ShuffleChannel")
def shuffle(call: Call) -> list[Tensor]:
    """Channels of groups interleaved."""
    x, groups = call.bottoms[0], call.layer.param.shuffle_channel_param.group
    count, channels = x.shape[:2]
    parts = x.reshape(count, groups, channels // groups, *x.shape[2:])
    return [parts.transpose(1, 2).reshape(x.shape)]
