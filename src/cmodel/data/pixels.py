"""What OpenCV does to 8-bit images, to the bit: gray conversion and bilinear resizing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# 0.299, 0.587, 0.114 in units of 2**-15.
_RED, _GREEN, _BLUE, _GRAY_BITS = 9798, 19235, 3735, 15
_COEFFICIENT_BITS = 11


def to_gray(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the gray values (...) of uint8 images (..., 1 or 3), the three being RGB."""
    if images.shape[-1] == 1:
        return images[..., 0]
    red, green, blue = (images[..., c].astype(np.int32) for c in range(3))
    total = red * _RED + green * _GREEN + blue * _BLUE + (1 << (_GRAY_BITS - 1))
    return (total >> _GRAY_BITS).astype(np.uint8)


def resize(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize uint8 images (N,H,W,C) to (N,height,width,C) as `cv::resize` with INTER_LINEAR does.

    Pixel centres lie at half positions, there is no antialiasing, and coefficients have 11 bits.
    Halving both sides exactly is a mean of four pixels, as it is in OpenCV.
    """
    _, source_height, source_width, _ = images.shape
    if (source_height, source_width) == (height, width):
        return images
    if (source_height, source_width) == (2 * height, 2 * width):
        wide = images.astype(np.uint16)
        total = wide[:, ::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, ::2] + wide[:, 1::2, 1::2]
        return ((total + 2) >> 2).astype(np.uint8)

    column, right_weight = _positions(source_width, width)
    # Columns outside the image are replaced and their fraction dropped; rows below are only
    # clipped, which rounds differently.
    outside = (column < 0) | (column >= source_width - 1)
    right_weight[outside] = 0
    column = column.clip(0, source_width - 1)
    right = _fixed(right_weight)[:, None]
    left = _fixed(np.float32(1) - right_weight)[:, None]
    row, lower_weight = _positions(source_height, height)
    lower = _fixed(lower_weight)[:, None, None]
    upper = _fixed(np.float32(1) - lower_weight)[:, None, None]
    above, below = row.clip(0, source_height - 1), (row + 1).clip(0, source_height - 1)
    rows, used = np.unique([above, below], return_inverse=True)
    above, below = used.reshape(2, height)

    following = (column + 1).clip(0, source_width - 1)
    result = np.empty((len(images), height, width, images.shape[3]), dtype=np.uint8)
    for image, target in zip(images, result, strict=True):
        kept = image[rows]
        # int32 (rows, width, C); 255 * 2**11 at most.
        across = kept[:, column] * left + kept[:, following] * right
        across >>= 4
        down = (across[above] * upper) >> 16
        down += (across[below] * lower) >> 16
        target[...] = (down + 2) >> 2
    return result


def _positions(source: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the pixel at or before each target's centre, and the float32 distance beyond it."""
    scale = 1.0 / (target / source)  # OpenCV's way round: source / target may differ in a bit
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    pixel = np.floor(position)
    return pixel.astype(np.int64), position - pixel


def _fixed(weights: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return weights as integers of `_COEFFICIENT_BITS`, halves rounded to even."""
    scaled: NDArray[np.float32] = np.rint(weights * np.float32(1 << _COEFFICIENT_BITS))
    return scaled.astype(np.int32)
