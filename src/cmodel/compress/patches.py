"""The patches that the weights of a layer multiply, taken out of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from cmodel.net import Layer
from cmodel.net.shapes.rule import canonical_axis
from cmodel.net.shapes.windows import convolution_window, convolved_size

Array = NDArray[np.float32]

# An image gives at most so many patches, chosen at random: neighbours tell nearly the same.
MAX_PATCHES = 1024
# Of the patches that are held at a time, and most of them: float32 sums of more lose digits.
_BYTES = 32 << 20
_COUNT = 4096


def blocks(
    layer: Layer, groups: int, columns: int, bottoms: tuple[Array, ...], rng: np.random.Generator
) -> Iterator[list[Array]]:
    """Yield patches as columns, float32 (G, K, patches), some at a time: a list of one per bottom.

    Parameters
    ----------
    layer : a Convolution or an InnerProduct of G groups with K columns of weights each.
    bottoms : values of the same blob in several nets; their patches are taken at the same places.
    rng : chooses the places where an image has more than MAX_PATCHES.
    """
    if layer.type != "InnerProduct":
        yield from _convolved(layer, groups, columns, bottoms, rng)
        return
    shape = bottoms[0].shape
    axis = canonical_axis(layer, layer.param.inner_product_param.axis, len(shape))
    matrices = [values.reshape(prod(shape[:axis]), columns) for values in bottoms]
    for start in range(0, len(matrices[0]), _COUNT):
        yield [matrix[start : start + _COUNT].T[None] for matrix in matrices]


def weight_gradients(layer: Layer, groups: int, columns: int, x: Array, given: Array) -> Array:
    """Return the gradients of single images at rows of weights, float32 (N, G, R, K).

    Parameters
    ----------
    layer : a Convolution or an InnerProduct of G groups with K columns of weights each.
    x : values of a bottom, of N images.
    given : gradients at the responses of rows, (N, G, R, positions).
    """
    shape = x.shape
    if layer.type == "InnerProduct":
        found: Array = np.matmul(given, x.reshape(len(given), 1, -1, columns))
        return found
    window = convolution_window(layer, shape)
    out = convolved_size(layer, shape, window)
    size = shape[window.axis + 1 :]
    images = x.reshape(len(given), groups, -1, *size)
    padded = np.pad(images, [(0, 0)] * 3 + [(pad, pad) for pad in window.pad])
    places = prod(window.kernel)
    found = np.empty((*given.shape[:3], columns // places, places), np.float32)
    for i, at in enumerate(np.ndindex(*window.kernel)):
        taken = tuple(
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, d, n, s in zip(at, window.dilation, out, window.stride, strict=True)
        )
        seen = padded[:, :, :, *taken].reshape(*images.shape[:3], -1)
        found[..., i] = np.matmul(given, np.swapaxes(seen, 2, 3))
    return found.reshape(*given.shape[:3], columns)


def _convolved(
    layer: Layer, groups: int, columns: int, bottoms: tuple[Array, ...], rng: np.random.Generator
) -> Iterator[list[Array]]:
    shape = bottoms[0].shape
    window = convolution_window(layer, shape)
    out = convolved_size(layer, shape, window)
    images, channels = prod(shape[: window.axis]), shape[window.axis]
    size = shape[window.axis + 1 :]
    count = min(prod(out), MAX_PATCHES)
    chosen = np.sort(rng.choice(prod(out), count, replace=False))
    step = min(_BYTES // (4 * groups * columns * count), _COUNT // count, images)
    step = max(step, 1)
    padded = tuple(n + 2 * pad for n, pad in zip(size, window.pad, strict=True))
    # Where in the padded images, which lie one behind the other, each value of the patches stands.
    corners = np.unravel_index(chosen, out)
    first = np.ravel_multi_index(
        [at * stride for at, stride in zip(corners, window.stride, strict=True)], padded
    )
    inside = [
        np.ravel_multi_index([k * d for k, d in zip(at, window.dilation, strict=True)], padded)
        for at in np.ndindex(*window.kernel)
    ]
    pixels = prod(padded)
    offsets = np.arange(step)[:, None] * pixels + first
    places = np.array(inside)[:, None, None] + offsets
    middle = tuple(slice(pad, pad + n) for n, pad in zip(size, window.pad, strict=True))
    room = np.zeros((channels, step, *padded), np.float32)
    for start in range(0, images, step):
        found = []
        taken = min(step, images - start)
        for values in bottoms:
            part = values.reshape(images, channels, *size)[start : start + taken]
            room[:, :taken, *middle] = np.swapaxes(part, 0, 1)
            flat = room.reshape(channels, step * pixels)
            found.append(flat.take(places[:, :taken], axis=1).reshape(groups, columns, -1))
        yield found
