"""Where an InputTransform comes from: options, a data layer of a train_val.prototxt, or both."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.data.arrays import is_npy, read_npy
from cmodel.data.source import FloatArray, Source
from cmodel.data.sources import open_source
from cmodel.errors import DataError, UnsupportedError, UsageError
from cmodel.net import InputTransform
from cmodel.proto import caffe_pb2

# Reads a binaryproto, (C,H,W) float32: `cmodel.caffe.load_mean`.
MeanLoader = Callable[[Path], FloatArray]

_SIZE = re.compile(r"([1-9][0-9]{0,5})(?:x([1-9][0-9]{0,5}))?")


@dataclass(frozen=True)
class DataLayer:
    """What a data layer says: how images are prepared, and where it takes them from.

    type : of the layer.
    source : list file or database, None where the layer names none.
    root : folder that the paths in the list are relative to, None for the list's own.
    batch_size : 0 where the layer states none.
    tops : its blobs, which HDF5 files call their datasets by.
    """

    type: str
    transform: InputTransform
    source: Path | None = None
    root: Path | None = None
    batch_size: int = 0
    tops: tuple[str, ...] = ()


def transform_from_options(
    *,
    resize: str | None = None,
    crop: str | None = None,
    scale: Sequence[float] = (),
    mean_value: Sequence[float] = (),
    mean_file: Path | None = None,
    channel_order: str | None = None,
    gray: bool = False,
    load_mean: MeanLoader,
) -> InputTransform:
    """Return the transform that command line options state; what is not given stays unset.

    resize, crop : "H" (square) or "HxW".
    scale, mean_value : one, or one for each channel in the order fed.
    mean_file : .npy (C,H,W), (1,C,H,W) or (H,W); any other file is read by `load_mean`.
    """
    if mean_file is not None and mean_value:
        raise UsageError("`--mean-file` and `--mean-value` exclude each other")
    if gray and channel_order not in (None, "gray"):
        raise UsageError(f"`--gray` and `--channel-order {channel_order}` exclude each other")
    order = "gray" if gray else channel_order
    if order not in (None, "bgr", "rgb", "gray"):
        raise UsageError(f"the channel order is bgr, rgb or gray, not `{order}`")
    if not np.isfinite([*scale, *mean_value]).all():
        raise UsageError("scale and mean values are finite numbers")
    return InputTransform(
        resize=_size(resize, "--resize"),
        crop=_size(crop, "--crop"),
        scale=tuple(scale),
        mean_values=tuple(mean_value),
        mean_image=None if mean_file is None else _read_mean(mean_file, load_mean),
        channel_order=order,
    )


def merge(base: InputTransform | None, override: InputTransform) -> InputTransform:
    """Return `base` with every field replaced that `override` states; a mean of either kind both.

    A scale of 1 or a mean value of 0 thereby switches off what `base` does.
    """
    if base is None:
        return override
    stated: dict[str, Any] = {
        name: value
        for name in ("resize", "crop", "channel_order")
        if (value := getattr(override, name)) is not None
    }
    if override.scale:
        stated["scale"] = override.scale
    if override.mean_values or override.mean_image is not None:
        stated["mean_values"] = override.mean_values
        stated["mean_image"] = override.mean_image
        stated["mean_form"] = override.mean_form
    return replace(base, **stated)


def transform_from_layer(
    layer: caffe_pb2.LayerParameter,
    base_dir: Path,
    *,
    load_mean: MeanLoader,
    with_mean: bool = True,
) -> DataLayer:
    """Return what a data layer of the TEST phase says.

    Relative paths are sought from `base_dir` (the prototxt's folder), then from the working
    directory, which is Caffe's rule. `mirror` is ignored, as Caffe does at TEST. Without
    `with_mean` the mean file is left out, and need not be there.
    """
    if layer.type == "HDF5Data":
        # Caffe has no transform for it.
        hdf5 = layer.hdf5_data_param
        source = _source(hdf5.source, base_dir)
        return DataLayer(
            layer.type, InputTransform(), source, None, hdf5.batch_size, tuple(layer.top)
        )
    transform = _transform(layer.transform_param, base_dir, load_mean if with_mean else None)
    if layer.type == "ImageData":
        images = layer.image_data_param
        if (images.new_height > 0) != (images.new_width > 0):
            raise DataError(
                "new_height and new_width need to be given together", where=f"layer {layer.name}"
            )
        if images.new_height:
            transform = replace(transform, resize=(images.new_height, images.new_width))
        transform = replace(transform, channel_order="bgr" if images.is_color else "gray")
        root = _find(images.root_folder, base_dir) if images.root_folder else None
        source = _source(images.source, base_dir)
        return DataLayer(layer.type, transform, source, root, images.batch_size, tuple(layer.top))
    source, batch_size = None, 0
    if layer.type == "Data":
        source, batch_size = _source(layer.data_param.source, base_dir), layer.data_param.batch_size
    elif layer.type == "MemoryData":
        batch_size = layer.memory_data_param.batch_size
    elif layer.type not in ("Input", "WindowData"):
        raise UnsupportedError(
            f"data layers of the type {layer.type} are not supported",
            where=f"layer {layer.name}",
            hint="state the transform by options, and the images by `--data`",
        )
    return DataLayer(layer.type, transform, source, None, batch_size, tuple(layer.top))


def open_layer(
    layer: DataLayer, *, labels: str | Path | None = None, root: str | Path | None = None
) -> Source:
    """Open what a data layer reads; `labels` and `root` override what it says.

    Raises
    ------
    UsageError : the layer names no source.
    UnsupportedError : it is a WindowData layer.
    CmodelError : as `open_source`.
    """
    if layer.type == "WindowData":
        raise UnsupportedError(
            "windows of images (WindowData) are not supported as a source",
            hint="cut the windows out, and name the images with --data SOURCE",
        )
    if layer.source is None:
        raise UsageError("the net names no images of its own", hint="name them with --data SOURCE")
    if layer.type == "HDF5Data":
        return open_source(layer.source, labels=labels, root=root, tops=layer.tops)
    return open_source(layer.source, labels=labels, root=root or layer.root)


def _transform(
    param: caffe_pb2.TransformationParameter, base_dir: Path, load_mean: MeanLoader | None
) -> InputTransform:
    if param.mean_file and param.mean_value:
        raise DataError("transform_param: mean_file and mean_value exclude each other")
    order = "gray" if param.force_gray else "bgr" if param.force_color else None
    mean = None
    if param.mean_file and load_mean is not None:
        mean = _read_mean(_find(param.mean_file, base_dir), load_mean)
    return InputTransform(
        crop=(param.crop_size, param.crop_size) if param.crop_size else None,
        scale=(param.scale,) if param.HasField("scale") else (),
        mean_values=tuple(param.mean_value),
        mean_image=mean,
        channel_order=order,
    )


def _source(path: str, base_dir: Path) -> Path | None:
    return _find(path, base_dir) if path else None


def _find(path: str, base_dir: Path) -> Path:
    beside = base_dir / path
    return Path(path) if not beside.exists() and Path(path).exists() else beside


def _read_mean(path: Path, load_mean: MeanLoader) -> FloatArray:
    """Return a mean image, (C,H,W)."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    mean: NDArray[Any] = read_npy(path) if is_npy(head) else load_mean(path)
    shape = mean.shape
    if mean.ndim == 2:
        mean = mean[None]
    elif mean.ndim == 4 and mean.shape[0] == 1:
        mean = mean[0]
    if mean.ndim != 3:
        raise DataError(f"a mean image is C x H x W, not of shape {shape}", where=str(path))
    return np.array(mean, dtype=np.float32)


def _size(text: str | None, option: str) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{option} takes a size as 227 or 227x300 (height x width), not `{text}`")
    return int(match[1]), int(match[2] or match[1])
