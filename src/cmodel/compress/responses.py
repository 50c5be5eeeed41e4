"""Moments of what layers put out, channel by channel, over calibration images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.statistics import Calibration
from cmodel.engine import Engine
from cmodel.net import Layer, Net, unfolded

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Moments:
    """Of each channel (axis 1) of a blob, over images and places: float64 (C,)."""

    mean: Doubles
    variance: Doubles


class Responses:
    """The values of a net, each under a name of its own, and their moments.

    A blob that layers in place overwrite has several values. Values of two nets correspond that
    have the same blob and stand as far from its last one: so the output of a convolution
    corresponds to what BatchNorm and Scale made of it where these have been folded.
    """

    def __init__(self, net: Net, calibration: Calibration, threads: int) -> None:
        self._net = unfolded(net)
        self._calibration = calibration
        self._threads = threads
        self._values: dict[str, list[str]] = {}
        for layer, fresh in zip(net.layers, self._net.layers, strict=True):
            for blob, name in zip(layer.tops, fresh.tops, strict=True):
                self._values.setdefault(blob, []).append(name)
        self._places = {
            name: (blob, len(names) - i)
            for blob, names in self._values.items()
            for i, name in enumerate(names)
        }

    def output(self, layer: Layer) -> str:
        """Return the name of the value that a layer puts out."""
        return self._net.layer(layer.key).tops[0]

    def input(self, layer: Layer) -> str:
        """Return the name of the value that a layer reads."""
        return self._net.layer(layer.key).bottoms[0]

    def place(self, name: str) -> tuple[str, int] | None:
        """Return blob and distance from its last value, plus 1; None for an input of the net."""
        return self._places.get(name)

    def at(self, place: tuple[str, int] | None) -> str | None:
        """Return the name of the value at a `place` of another net, or None."""
        if place is None:
            return None
        names = self._values.get(place[0], [])
        return names[-place[1]] if place[1] <= len(names) else None

    def moments(self, names: Iterable[str]) -> dict[str, Moments]:
        """Run the net over the images once; return the moments of values by their names."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        engine = Engine(self._net, self._threads)
        counts = dict.fromkeys(wanted, 0)
        shifts: dict[str, Array] = {}
        sums: dict[str, Doubles] = {}
        squares: dict[str, Doubles] = {}
        for batch in self._calibration.batches(_BATCH):
            blobs = engine.run({self._calibration.blob: batch}, wanted)
            for name in wanted:
                values = blobs[name]
                images, channels = values.shape[:2]
                rows = values.reshape(images, channels, -1)
                if name not in shifts:
                    # Sums of squares are taken around the first batch's mean: no cancellation.
                    shifts[name] = rows.mean(axis=(0, 2), dtype=np.float64).astype(np.float32)
                    sums[name] = np.zeros(channels)
                    squares[name] = np.zeros(channels)
                counts[name] += images * rows.shape[2]
                # Of a channel of an image in float32, then in float64.
                rows = rows - shifts[name][:, None]
                sums[name] += rows.sum(axis=2).sum(axis=0, dtype=np.float64)
                energy = np.einsum("ncp,ncp->nc", rows, rows)
                if not np.isfinite(energy).all():
                    energy = np.square(rows, dtype=np.float64).sum(axis=2)
                squares[name] += energy.sum(axis=0, dtype=np.float64)
        found = {}
        for name in wanted:
            offset = sums[name] / counts[name]
            variance = np.maximum(squares[name] / counts[name] - np.square(offset), 0.0)
            found[name] = Moments(shifts[name] + offset, variance)
        return found
