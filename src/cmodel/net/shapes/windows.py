"""Kernel, stride, padding and dilation of the layers that slide a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import canonical_axis, fail, text
from cmodel.proto import caffe_pb2


@dataclass(frozen=True)
class Window:
    """A window over the spatial axes; each tuple has one entry per axis.

    axis : the channel axis; the spatial ones follow it.
    """

    axis: int
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        """Span of the dilated kernel."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def _per_axis(
    layer: Layer, name: str, values: Sequence[int], count: int, default: int | None, least: int
) -> Shape:
    if not values:
        if default is None:
            raise fail(layer, f"{name} is not set")
        values = [default]
    if len(values) not in (1, count):
        raise fail(layer, f"{name} has {len(values)} entries for {count} spatial axes")
    if any(value < least for value in values):
        raise fail(layer, f"{name} must be {least} or more, not {min(values)}")
    return tuple(values) if len(values) == count else (values[0],) * count


def _pair(
    layer: Layer,
    param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter,
    stem: str,
    repeated: Sequence[int],
) -> Sequence[int]:
    """Return the *_h and *_w fields where they are set, else the repeated field."""
    names = (f"{stem}_h", f"{stem}_w")
    present = [param.HasField(name) for name in names]
    if not any(present):
        return repeated
    if repeated:
        raise fail(layer, f"{stem} is given both for all axes and as {names[0]}, {names[1]}")
    if stem == "kernel" and not all(present):
        raise fail(layer, f"{names[0]} and {names[1]} are needed both")
    return [getattr(param, name) for name in names]


def convolution_window(layer: Layer, bottom: Shape) -> Window:
    """Return the window of a Convolution, Deconvolution or Im2col over a bottom of that shape."""
    param = layer.param.convolution_param
    axis = canonical_axis(layer, param.axis, len(bottom))
    count = len(bottom) - axis - 1
    two = any(
        param.HasField(name)
        for name in ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w")
    )
    if two and count != 2:
        raise fail(
            layer,
            f"kernel_h, kernel_w and the like are for 2 spatial axes, not {count}",
            blob=layer.bottoms[0],
        )
    kernel = _pair(layer, param, "kernel", param.kernel_size)
    stride = _pair(layer, param, "stride", param.stride)
    pad = _pair(layer, param, "pad", param.pad)
    return Window(
        axis,
        _per_axis(layer, "kernel_size", kernel, count, None, 1) if count else (),
        _per_axis(layer, "stride", stride, count, 1, 1) if count else (),
        _per_axis(layer, "pad", pad, count, 0, 0) if count else (),
        _per_axis(layer, "dilation", param.dilation, count, 1, 1) if count else (),
    )


def convolved_size(layer: Layer, bottom: Shape, window: Window) -> Shape:
    """Return the spatial sizes of a convolution's top."""
    sizes = []
    spatial = bottom[window.axis + 1 :]
    for size, extent, stride, pad in zip(
        spatial, window.extent, window.stride, window.pad, strict=True
    ):
        room = size + 2 * pad - extent
        if room < 0:
            raise fail(
                layer,
                f"the kernel spans {extent}, more than the padded input of {size + 2 * pad} "
                f"(shape {text(bottom)})",
                blob=layer.bottoms[0],
            )
        sizes.append(room // stride + 1)
    return tuple(sizes)


def pooling_window(layer: Layer, bottom: Shape) -> Window:
    """Return the window of a Pooling layer; a global one spans the whole image."""
    param = layer.param.pooling_param

    def one(name: str) -> Sequence[int]:
        return [getattr(param, name)] if param.HasField(name) else []

    kernel = _pair(layer, param, "kernel", one("kernel_size"))
    stride = _pair(layer, param, "stride", one("stride"))
    pad = _pair(layer, param, "pad", one("pad"))
    strides = _per_axis(layer, "stride", stride, 2, 1, 1)
    pads = _per_axis(layer, "pad", pad, 2, 0, 0)
    if param.global_pooling:
        if kernel:
            raise fail(layer, "global pooling takes no kernel size")
        if strides != (1, 1) or pads != (0, 0):
            raise fail(layer, "global pooling takes stride 1 and pad 0")
        kernels = bottom[2:]
    else:
        kernels = _per_axis(layer, "kernel_size", kernel, 2, None, 1)
    if any(p >= k for p, k in zip(pads, kernels, strict=True)):
        raise fail(layer, f"the pad {text(pads)} is not smaller than the kernel {text(kernels)}")
    return Window(1, kernels, strides, pads, (1, 1))


def pooled_size(layer: Layer, bottom: Shape, window: Window) -> Shape:
    """Return height and width of a Pooling layer's top, clipped as Caffe does."""
    floor = layer.param.pooling_param.round_mode == caffe_pb2.PoolingParameter.FLOOR
    sizes = []
    for size, kernel, stride, pad in zip(
        bottom[2:], window.kernel, window.stride, window.pad, strict=True
    ):
        room = size + 2 * pad - kernel
        count = (room // stride if floor else -(-room // stride)) + 1
        # Any padding, on either axis, makes Caffe drop a last window that starts in it.
        if any(window.pad) and (count - 1) * stride >= size + pad:
            count -= 1
        if count < 1:
            raise fail(
                layer,
                f"the kernel of {kernel} is too large for the padded input of {size + 2 * pad} "
                f"(shape {text(bottom)})",
                blob=layer.bottoms[0],
            )
        sizes.append(count)
    return tuple(sizes)
