"""Applies an InputTransform: images to the float32 arrays that a net is fed, as Caffe does at TEST.

In order: gray or colour as the net has channels, resize, centre crop, channel order, minus the
mean, times the scale. Arrays that are float32 already are fed unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cmodel.data.pixels import resize, to_gray
from cmodel.data.source import MAX_IMAGE_PIXELS, FloatArray, Items
from cmodel.errors import DataError, LimitError
from cmodel.net import InputTransform, Shape


def prepare(
    items: Items,
    transform: InputTransform,
    input_shape: Shape | None = None,
    names: Sequence[str] = (),
    *,
    planes: bool = False,
) -> FloatArray:
    """Return items as the net is fed them, float32 (N,C,H,W).

    Parameters
    ----------
    items : uint8 images (H,W,3) RGB or (H,W), or float32 arrays as they are fed; in a list or
        stacked along a first axis.
    input_shape : shape of the net's input, (N,C,H,W); its N does not matter. None where the net
        does not declare one: then all items need to come out alike.
    names : one for each item, for the errors.
    planes : whether items are (C,H,W), uint8 or float32, in the order that the net takes channels
        in; they are transformed all the same, except for the channel order.

    Raises
    ------
    DataError : an item does not come out in the shape of the input.
    LimitError : the resize makes more than `MAX_IMAGE_PIXELS`.
    """
    if len(items) == 0:
        raise DataError("there are no images to prepare")
    first = items[0]
    if isinstance(items, np.ndarray):
        return _prepare(items, transform, input_shape, planes, _name(names, 0))
    alike = all(item.shape == first.shape and item.dtype == first.dtype for item in items)
    if alike:
        return _prepare(np.stack(items), transform, input_shape, planes, _name(names, 0))
    parts: list[FloatArray] = []
    for i, item in enumerate(items):
        part = _prepare(item[None], transform, input_shape, planes, _name(names, i))
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise DataError(
                f"{_name(names, i)} comes out as {_by(part.shape[1:])}, the ones before it as "
                f"{_by(parts[0].shape[1:])}",
                hint="`--resize HxW` makes all images one size",
            )
        parts.append(part)
    return np.concatenate(parts)


def _prepare(
    stack: NDArray[Any],
    transform: InputTransform,
    input_shape: Shape | None,
    planar: bool,
    name: str,
) -> FloatArray:
    if stack.dtype != np.uint8 and not planar:
        return _as_fed(stack, input_shape, name)
    if input_shape is not None and len(input_shape) != 4:
        raise DataError(
            f"the net's input is {_by(input_shape)}, an image needs N x C x H x W",
            hint="feed it a float32 array (.npy) in the shape of the input",
        )
    channels = None if input_shape is None else input_shape[1]
    if planar:
        images, channels = _from_planes(stack, transform, channels, name)
    else:
        images, channels = _with_channels(stack, transform.channel_order, channels, name)
    loaded = images.shape[1:3]
    if transform.resize is not None:
        if prod(transform.resize) > MAX_IMAGE_PIXELS:
            raise LimitError(
                f"a resize to {_by(transform.resize)} makes more than {MAX_IMAGE_PIXELS} pixels"
            )
        images = resize(images, *transform.resize)
    height, width = images.shape[1:3]
    size, offset = _crop(transform, (height, width), name)
    if input_shape is not None and size != input_shape[2:]:
        target = _by(input_shape[2:])
        came = "" if size == loaded else f" (after resize and crop: {_by(size)})"
        raise DataError(
            f"{name} has {_by(loaded)} pixels{came}, the net takes {target} (height x width)",
            hint=f"`--resize {target}` scales images to that size, `--crop {target}` cuts out "
            "their centre",
        )
    window = (slice(offset[0], offset[0] + size[0]), slice(offset[1], offset[1] + size[1]))
    planes = np.moveaxis(images[:, window[0], window[1]], 3, 1)
    if planes.shape[1] == 3 and transform.channel_order != "rgb" and not planar:
        planes = planes[:, ::-1]
    out = np.empty((len(images), channels, *size), dtype=np.float32)
    out[...] = planes  # a gray plane is repeated
    _subtract_mean(out, transform, (height, width), window)
    if transform.scale:
        out *= _per_channel(transform.scale, channels, "scale")
    return out


def _as_fed(stack: NDArray[Any], input_shape: Shape | None, name: str) -> FloatArray:
    if input_shape is not None and stack.shape[1:] != tuple(input_shape[1:]):
        raise DataError(
            f"{name} has the shape {_by(stack.shape[1:])}, the net takes {_by(input_shape[1:])}",
            notes=("a floating point array is fed as it is",),
        )
    return cast(FloatArray, np.ascontiguousarray(stack, dtype=np.float32))


def _with_channels(
    stack: NDArray[np.uint8], order: str | None, channels: int | None, name: str
) -> tuple[NDArray[np.uint8], int]:
    """Return images (N,H,W,C) with C one or three, and the number of channels to feed."""
    if channels not in (None, 1, 3):
        raise DataError(
            f"the net's input has {channels} channels; an image has 1 or 3",
            where=name,
            hint="feed it a float32 array (.npy) in the shape of the input",
        )
    images = stack[..., None] if stack.ndim == 3 else stack
    if order == "gray" or channels == 1:
        images = to_gray(images)[..., None]
    if channels is None:
        channels = 3 if order in ("bgr", "rgb") else images.shape[3]
    return images, channels


def _from_planes(
    stack: NDArray[Any], transform: InputTransform, channels: int | None, name: str
) -> tuple[NDArray[Any], int]:
    """Return planes (N,C,H,W) as (N,H,W,C), and the number of channels to feed: all of them."""
    found = stack.shape[1]
    if channels not in (None, found):
        raise DataError(f"{name} has {found} channels, the net's input has {channels}")
    if transform.resize is not None and stack.dtype != np.uint8:
        raise DataError(f"{name} holds floats, which cannot be resized")
    return np.moveaxis(stack, 1, 3), found


def _crop(
    transform: InputTransform, size: tuple[int, int], name: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return size and offset of what is kept."""
    crop = transform.crop
    if crop is None:
        return size, (0, 0)
    if crop[0] > size[0] or crop[1] > size[1]:
        raise DataError(
            f"{name} has {_by(size)} pixels, less than the crop of {_by(crop)} (height x width)",
            hint="`--resize HxW` scales images before they are cropped",
        )
    return crop, ((size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2)


def _subtract_mean(
    out: FloatArray, transform: InputTransform, size: tuple[int, int], window: tuple[slice, slice]
) -> None:
    channels = out.shape[1]
    if transform.mean_image is not None:
        if transform.mean_image.shape != (channels, *size):
            raise DataError(
                f"the mean image is {_by(transform.mean_image.shape)} (C x H x W), "
                f"the images before the crop are {_by((channels, *size))}",
                hint=f"`--resize {_by(transform.mean_image.shape[1:])}` fits images to the mean",
            )
        out -= transform.mean_image[:, window[0], window[1]]
    elif transform.mean_values:
        out -= _per_channel(transform.mean_values, channels, "mean value")


def _per_channel(values: Sequence[float], channels: int, what: str) -> FloatArray:
    if len(values) not in (1, channels):
        raise DataError(
            f"{len(values)} {what}s for {channels} channel{'s' if channels > 1 else ''}",
            hint=f"give one {what}, or one for each channel in the order fed",
        )
    return np.array(values, dtype=np.float32)[:, None, None]


def _name(names: Sequence[str], index: int) -> str:
    return f"image `{names[index]}`" if names else f"image {index}"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
