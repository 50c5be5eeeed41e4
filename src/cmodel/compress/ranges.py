"""Ranges of activations: histograms of what layers read, and where to cut them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel._engine import INT8_LEVELS
from cmodel.compress.statistics import Calibration
from cmodel.engine import Engine
from cmodel.errors import DataError
from cmodel.net import Net, Range, unfolded

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

SCHEMES = ("minmax", "percentile", "mse")
_BINS = 2048
_BATCH = 16
# The shares of each end that "mse" tries.
_SHARES = tuple((i + 1) / 64 for i in range(64))


@dataclass(frozen=True, eq=False)
class Histogram:
    """Of the values from `low` to `high`, in bins of one width; 0 is among them.

    counts : float64 (bins,).
    """

    low: float
    high: float
    counts: Doubles

    @property
    def centres(self) -> Doubles:
        """The middles of the bins."""
        width = (self.high - self.low) / self.counts.size
        return np.asarray(self.low + width * (np.arange(self.counts.size) + 0.5), np.float64)

    def outside(self, bounds: Range) -> float:
        """Return the share of the values beyond a range."""
        beyond = (self.centres < bounds[0]) | (self.centres > bounds[1])
        return float(self.counts[beyond].sum() / max(self.counts.sum(), 1))

    def range_of(self, scheme: str, percentile: float) -> Range:
        """Return the range that one of SCHEMES chooses; it holds 0."""
        if scheme == "minmax" or self.low == self.high:
            return self.low, self.high
        return self._within(percentile) if scheme == "percentile" else self._least_error()

    def _within(self, percentile: float) -> Range:
        """Return the range that so many percent lie in; what is left out, at each end alike."""
        rest = (1 - percentile / 100) * self.counts.sum()
        rest /= 2 if self.low < 0 < self.high else 1
        sums = np.concatenate([[0.0], np.cumsum(self.counts)])
        edges = np.linspace(self.low, self.high, self.counts.size + 1)
        low = edges[np.searchsorted(sums, rest, side="right") - 1] if self.low < 0 else 0.0
        high = edges[np.searchsorted(sums, sums[-1] - rest)] if self.high > 0 else 0.0
        return float(min(low, 0.0)), float(max(high, 0.0))

    def _least_error(self) -> Range:
        """Return the range whose integers have the least squared error, each end cut in turn."""
        low, high = self.low, self.high
        for _ in range(2):
            if self.high > 0:
                highs = [share * self.high for share in _SHARES]
                high = highs[int(np.argmin([self._error(low, end) for end in highs]))]
            if self.low < 0:
                lows = [share * self.low for share in _SHARES]
                low = lows[int(np.argmin([self._error(end, high) for end in lows]))]
        return low, high

    def _error(self, low: float, high: float) -> float:
        step = (high - low) / INT8_LEVELS
        zero = round(-low / step)
        ints = np.clip(np.rint(self.centres / step), -zero, INT8_LEVELS - zero)
        return float(self.counts @ np.square(self.centres - ints * step))


def histograms(
    net: Net, keys: Sequence[str], calibration: Calibration, threads: int | None = None
) -> dict[str, Histogram]:
    """Return by layer key the histogram of what the layer reads; the images are run twice.

    Raises
    ------
    DataError : a layer reads values that are not finite.
    """
    walk = unfolded(net)
    bottoms = {key: walk.layer(key).bottoms for key in keys}
    wanted = sorted({name for names in bottoms.values() for name in names})
    engine = Engine(walk, threads)
    ends = dict.fromkeys(wanted, (0.0, 0.0))
    for batch in calibration.batches(_BATCH):
        for name, values in engine.run({calibration.blob: batch}, wanted).items():
            low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
            if not np.isfinite([low, high]).all():
                raise DataError(
                    "a layer reads values of the calibration images that are not finite",
                    where=f"blob `{name}`",
                )
            ends[name] = min(ends[name][0], low), max(ends[name][1], high)
    # Layers with several bottoms share one range.
    joint = {
        key: (min(ends[name][0] for name in names), max(ends[name][1] for name in names))
        for key, names in bottoms.items()
    }
    counts = {key: np.zeros(_BINS) for key in keys}
    for batch in calibration.batches(_BATCH):
        blobs = engine.run({calibration.blob: batch}, wanted)
        for key, names in bottoms.items():
            for name in names:
                counts[key] += _count(blobs[name], joint[key])
    return {key: Histogram(*joint[key], counts[key]) for key in keys}


def _count(values: Array, ends: Range) -> NDArray[np.int64]:
    low, high = ends
    if low == high:
        return np.zeros(_BINS, np.int64)
    scale = _BINS / (high - low)
    bins = ((values.reshape(-1).astype(np.float64) - low) * scale).astype(np.int64)
    return np.bincount(np.minimum(bins, _BINS - 1), minlength=_BINS)
