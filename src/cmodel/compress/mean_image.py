"""The mean image in few bytes: the cheapest coding that leaves the outputs as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.statistics import Calibration
from cmodel.compress.vectors import cluster_blocks, code_type, decoded
from cmodel.container import size_of_form
from cmodel.engine import Engine
from cmodel.errors import DataError
from cmodel.evaluate import compare
from cmodel.net import InputTransform, Net
from cmodel.tensors import Dense, FloatArray, Form, Linear, Product

# Steps of grids, in 64ths of the inputs' standard deviation: about pixel values of photographs.
STEPS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
# Mean images are smooth: widths of the Gaussian that takes the noise of few images out, in pixels.
WIDTHS = (0.0, 1.0, 2.0)
# Codewords, and pixels of a block, of product codes over all channels of neighbouring pixels.
CODEBOOKS = (4, 8, 16, 32, 64)
BLOCKS = (1, 2, 4, 8)
STAGES = (1, 2)
_PARTS = 64
# A coding is tried only if its error is at most this times the least of all smaller ones.
_SLACK = 1.25
_BATCH = 64
# A candidate whose first images are so much worse than allowed is not tried on the others.
_HOPELESS = 4.0


@dataclass(frozen=True, eq=False)
class MeanChoice:
    """A coding of the mean image.

    form : its tensor form.
    kl : mean KL(outputs with the exact mean || with this one) over the calibration images, nats.
    size : bytes in a container; tried : how many codings were run.
    """

    form: Form
    kl: float
    size: int
    tried: int


def choose_mean(
    net: Net, calibration: Calibration, *, tolerance: float = 1e-4, threads: int | None = None
) -> MeanChoice:
    """Return the coding of `net.transform.mean_image` that takes the fewest bytes.

    Candidates are constants by channel, uniform grids, and product codes of blocks of pixels, of
    the image as it is and smoothed; the smallest whose KL is at most `tolerance` wins, at worst the
    plain float32 image. The images have been fed with the exact mean already.

    Raises
    ------
    DataError : the net has no mean image, or it does not cover the images.
    """
    transform = net.transform
    if transform is None or transform.mean_image is None:
        raise DataError("the net has no mean image to code")
    judge = _Judge(net, transform, calibration, threads)
    tried, least = 0, np.inf
    forms = _candidates(transform.mean_image, judge.deviation / _PARTS)
    for size, form in sorted(forms, key=lambda item: item[0]):
        error = float(np.linalg.norm(form.to_dense() - transform.mean_image))
        if error > _SLACK * least:
            continue
        tried, least = tried + 1, min(error, least)
        kl = judge.divergence(form, tolerance)
        if kl <= tolerance:
            return MeanChoice(form, kl, size, tried)
    plain = Dense(transform.mean_image)
    return MeanChoice(plain, 0.0, size_of_form(plain), tried)


class _Judge:
    """Measures what another mean does to the outputs."""

    def __init__(
        self, net: Net, transform: InputTransform, calibration: Calibration, threads: int | None
    ) -> None:
        self._engine = Engine(net, threads)
        self._output = net.outputs[-1]
        self._calibration = calibration
        mean = transform.mean_image
        if mean is None:
            raise DataError("the net has no mean image to code")
        self._mean = mean
        channels, height, width = calibration.shape
        if mean.shape[0] != channels or mean.shape[1] < height or mean.shape[2] < width:
            raise DataError(f"a mean image of {mean.shape} for inputs of {calibration.shape}")
        # Caffe's centre crop, at which the mean is taken.
        top, left = (mean.shape[1] - height) // 2, (mean.shape[2] - width) // 2
        self._window = (slice(None), slice(top, top + height), slice(left, left + width))
        scale = np.array(transform.scale or (1.0,), np.float64)
        self._scale = scale.reshape(-1, 1, 1)
        self._reference = [self._scores(batch) for batch in self._batches()]
        squares = [np.square(batch, dtype=np.float64).mean() for batch in self._batches()]
        level = float(np.abs(scale).mean()) or 1.0
        self.deviation = float(np.sqrt(np.mean(squares))) / level or 1.0

    def _batches(self) -> Iterator[FloatArray]:
        return self._calibration.batches(_BATCH)

    def _scores(self, batch: FloatArray) -> FloatArray:
        scores = self._engine.run({self._calibration.blob: batch}, [self._output])[self._output]
        return scores.reshape(len(batch), -1).copy()

    def divergence(self, form: Form, tolerance: float) -> float:
        """Return the mean KL in nats; of the first images alone where that is hopeless."""
        change = (self._mean.astype(np.float64) - form.to_dense()) * self._scale
        shift = np.broadcast_to(change, self._mean.shape)[self._window].astype(np.float32)
        total, images = 0.0, 0
        for reference, batch in zip(self._reference, self._batches(), strict=True):
            scores = self._scores(batch + shift)
            total += compare(reference, scores).kl * len(batch)
            images += len(batch)
            if total / images > _HOPELESS * tolerance:
                break
        return total / images


def _candidates(mean: FloatArray, unit: float) -> Iterator[tuple[int, Form]]:
    """Yield codings with their bytes; `unit` is the step that STEPS count in."""
    # Slow to import, and few nets have a mean image.
    from scipy.ndimage import gaussian_filter

    forms: list[Form] = [_constants(mean)]
    for width in WIDTHS:
        smooth = gaussian_filter(mean.astype(np.float64), (0.0, width, width), mode="nearest")
        for step in STEPS:
            grid = _grid(smooth, step * unit)
            if grid is not None:
                forms.append(grid)
        forms.extend(_blocks(smooth.astype(np.float32), unit))
    for form in forms:
        yield size_of_form(form), form


def _constants(mean: FloatArray) -> Form:
    """Return one value for each channel."""
    means = mean.reshape(mean.shape[0], -1).mean(axis=1, dtype=np.float64)
    half = means.astype(np.float16)
    scales = half if np.isfinite(half).all() else means.astype(np.float32)
    zeros = np.zeros(mean.shape[0], np.int32)
    return Linear(Dense(scales), zeros, np.ones(mean.shape, np.int8))


def _grid(values: NDArray[np.float64], step: float) -> Linear | None:
    """Return the image on a grid, or None where it needs more than 16 bits."""
    scale = np.array([step], np.float32)
    ints = np.rint(values / float(scale[0]))
    low, high = int(ints.min()), int(ints.max())
    for kind in (np.int8, np.uint8, np.int16):
        bounds = np.iinfo(kind)
        if bounds.min <= low and high <= bounds.max:
            return Linear(Dense(scale), np.zeros(1, np.int32), ints.astype(kind))
    return None


def _blocks(values: FloatArray, unit: float) -> Iterator[Form]:
    """Yield product codes: blocks of neighbouring pixels of a row, all channels together."""
    channels, height, width = values.shape
    for pixels in BLOCKS:
        if width % pixels:
            continue
        dimension = pixels * channels
        rows = np.ascontiguousarray(values.transpose(1, 2, 0)).reshape(-1, dimension)
        for entries in CODEBOOKS:
            if entries * 4 > len(rows):
                break
            rng = np.random.default_rng([pixels, entries])
            books, numbers, rest = [], [], rows
            for stages in STAGES:
                words, codes = cluster_blocks(rest, dimension, entries, True, 25, rng, 1)
                words = np.rint(words / unit) * unit
                books.append(words)
                numbers.append(codes)
                rest = rest - decoded(words.astype(np.float32), codes)
                levels = _grid(np.stack(books).astype(np.float64), unit)
                if levels is not None:
                    shape = (stages, height * width // pixels, 1)
                    stored = np.stack(numbers).reshape(shape).astype(code_type(entries))
                    yield Product(values.shape, (1, 2, 0), levels, stored)
