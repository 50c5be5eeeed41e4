"""How an image becomes the input of a network. Plain data; `cmodel.data` applies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cmodel.net.net import Parameter


@dataclass(frozen=True, eq=False)
class InputTransform:
    """What is done to an image before it is fed: resize, crop, subtract the mean, scale.

    Values are applied as Caffe's DataTransformer does: ``(x - mean) * scale``, after the mean, in
    the order of the channels as they are fed.

    resize : (height, width) in pixels, before the crop.
    crop : (height, width) in pixels of the centre crop.
    scale : one factor, or one for each channel.
    mean_values : one value, or one for each channel.
    mean_image : C,H,W float32, indexed at the uncropped position.
    mean_form : the tensor form of `mean_image`, where it is not stored as plain float32; either one
        may be given, and goes with the other.
    channel_order : "bgr", "rgb" or "gray"; None means gray for one channel and bgr otherwise.
    """

    resize: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    scale: tuple[float, ...] = ()
    mean_values: tuple[float, ...] = ()
    mean_image: NDArray[np.float32] | None = None
    channel_order: str | None = None
    mean_form: Parameter | None = None

    def __post_init__(self) -> None:
        if self.mean_form is not None:
            values = self.mean_form.to_dense()
            if self.mean_image is None:
                object.__setattr__(self, "mean_image", values)
            elif not np.array_equal(values, self.mean_image, equal_nan=True):
                raise ValueError("the form of the mean image holds other values")
        if self.mean_values and self.mean_image is not None:
            raise ValueError("a mean image and mean values exclude each other")
        if self.channel_order not in (None, "bgr", "rgb", "gray"):
            raise ValueError(f"channel order is bgr, rgb or gray, not {self.channel_order!r}")

    @property
    def is_identity(self) -> bool:
        """Whether nothing at all is stated."""
        return self == InputTransform()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InputTransform):
            return NotImplemented
        mine, theirs = self.mean_image, other.mean_image
        same_mean = (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            same_mean = mine.shape == theirs.shape and bool((mine == theirs).all())
        return same_mean and self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]

    def _key(self) -> tuple[object, ...]:
        return (self.resize, self.crop, self.scale, self.mean_values, self.channel_order)
