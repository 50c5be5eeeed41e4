"""Conv and ConvTranspose."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.interchange.onnx.netbuilder import NodeView, Pads
from cmodel.net import Shape
from cmodel.tensors import Dense, Form, Linear


def explicit_pads(node: NodeView, size: Shape, extent: Shape, stride: Shape) -> Pads:
    """Return the padding before and after each axis, worked out where the node says SAME."""
    count = len(size)
    mode = node.attribute("auto_pad", "NOTSET")
    if mode == "VALID":
        return (0,) * count, (0,) * count
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max((-(-n // s) - 1) * s + e - n, 0)
            for n, e, s in zip(size, extent, stride, strict=True)
        ]
        less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        return (less, more) if mode == "SAME_UPPER" else (more, less)
    pads = tuple(node.attribute("pads", [0] * 2 * count))
    if len(pads) != 2 * count or min(pads, default=0) < 0:
        raise node.unsupported(f"a padding of {pads}")
    return pads[:count], pads[count:]


def sizes_of(node: NodeView, name: str, count: int) -> Shape:
    """Return strides or dilations, one for each spatial axis."""
    sizes = tuple(node.attribute(name, [1] * count))
    if len(sizes) != count or min(sizes, default=1) < 1:
        raise node.unsupported(f"{name} of {sizes} for {count} spatial axes")
    return sizes


def _weights(node: NodeView) -> tuple[Form, list[Form], Shape]:
    """Return weights, the bias if there is one, and the kernel."""
    weights = node.form(1)
    kernel = tuple(weights.shape[2:])
    if not kernel or tuple(node.attribute("kernel_shape", kernel)) != kernel:
        raise node.unsupported(f"weights of shape {weights.shape}")
    return weights, [node.form(2)] if node.has(2) else [], kernel


def conv(node: NodeView) -> Sequence[str]:
    """A Convolution; unequal padding becomes zeros around the kernel."""
    bottom, around, value = node.padded()
    if around is not None and value != 0:
        raise node.unsupported(f"a padding with {value} before a convolution")
    weights, bias, kernel = _weights(node)
    count = len(kernel)
    stride, dilation = sizes_of(node, "strides", count), sizes_of(node, "dilations", count)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    size = node.net.shapes[bottom][2:]
    margin = around or ((0,) * count, (0,) * count)
    padded = tuple(n + b + e for n, b, e in zip(size, *margin, strict=True))
    begin, end = explicit_pads(node, padded, extent, stride)
    begin = tuple(map(sum, zip(begin, margin[0], strict=True)))
    end = tuple(map(sum, zip(end, margin[1], strict=True)))
    pad = tuple(map(max, zip(begin, end, strict=True)))
    if begin != end:
        before = tuple(p - b for p, b in zip(pad, begin, strict=True))
        after = tuple(p - e for p, e in zip(pad, end, strict=True))
        if any(n % d for n, d in zip(before + after, dilation * 2, strict=True)):
            raise node.unsupported(f"a padding of {begin} before and {end} after, with dilation")
        taps = [n // d for n, d in zip(before + after, dilation * 2, strict=True)]
        sizes = (n + b + e for n, b, e in zip(kernel, taps[:count], taps[count:], strict=True))
        node.spend(prod(weights.shape[:2]) * prod(sizes))
        weights = _grown(weights, tuple(taps[:count]), tuple(taps[count:]))
    return [
        node.add(
            "Convolution",
            [bottom],
            [weights, *bias],
            convolution_param={
                "num_output": weights.shape[0],
                "bias_term": bool(bias),
                "kernel_size": _short(weights.shape[2:]),
                "stride": _short(stride, 1),
                "pad": _short(pad, 0),
                "dilation": _short(dilation, 1),
                "group": node.attribute("group", 1),
            },
        )
    ]


def _short(sizes: Shape, default: int | None = None) -> Sequence[int]:
    """Return sizes as Caffe's users write them: one where all are alike, none where it is usual."""
    if set(sizes) == {default}:
        return ()
    return sizes[:1] if len(set(sizes)) == 1 else sizes


def _grown(weights: Form, before: Shape, after: Shape) -> Form:
    """Return weights with zeros around each kernel; fixed point stays such."""
    width = ((0, 0), (0, 0), *zip(before, after, strict=True))
    if isinstance(weights, Linear) and weights.groups in (1, weights.shape[0]):
        zeros = weights.zeros.astype(weights.ints.dtype)
        if (zeros == weights.zeros).all():
            shape = tuple(n + sum(w) for n, w in zip(weights.shape, width, strict=True))
            ints = np.empty(shape, weights.ints.dtype)
            ints[...] = zeros.reshape(-1, *(1,) * (len(shape) - 1))
            inside = tuple(slice(b, b + n) for (b, _), n in zip(width, weights.shape, strict=True))
            ints[inside] = weights.ints
            return Linear(weights.scales, weights.zeros, ints)
    return Dense(np.pad(weights.to_dense(), width))


def conv_transpose(node: NodeView) -> Sequence[str]:
    """A Deconvolution; Caffe has no padding of the output."""
    weights, bias, kernel = _weights(node)
    count = len(kernel)
    if any(node.attribute("output_padding", ())) or node.attribute("output_shape"):
        raise node.unsupported("Caffe's Deconvolution has no output_padding and no output_shape")
    if node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise node.unsupported("Caffe's Deconvolution works no padding out")
    stride, dilation = sizes_of(node, "strides", count), sizes_of(node, "dilations", count)
    begin, end = explicit_pads(node, node.shape()[2:], kernel, stride)
    if begin != end:
        raise node.unsupported(f"a padding of {begin} before and {end} after")
    group = node.attribute("group", 1)
    if prod(weights.shape) == 0:
        raise node.unsupported("weights without values")
    return [
        node.add(
            "Deconvolution",
            [node.bottom()],
            [weights, *bias],
            convolution_param={
                "num_output": weights.shape[1] * group,
                "bias_term": bool(bias),
                "kernel_size": _short(kernel),
                "stride": _short(stride, 1),
                "pad": _short(begin, 0),
                "dilation": _short(dilation, 1),
                "group": group,
            },
        )
    ]
