"""Positions of nonzeros: the mask coder beside a relative index, on pruned models.

Prints for each layer the bits per nonzero of its mask, of its relative index (best width and
coder), of plain mask bits, and of the entropy of independent elements; then how fast a mask
decodes.
The models are those of CMODEL_DATA (docs/data.md).

    CMODEL_DATA=../shared python benchmarks/masks.py
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import numpy as np

import cmodel
from cmodel.codecs import encode_ints, mask, relindex

MODELS = {
    "LeNet-5, pruned": ("lenet5_dns", "lenet5.prototxt", "lenet5_sparse_stdtypes.caffemodel"),
    "LeNet-300-100, pruned": (
        "lenet300100_dns",
        "lenet300100.prototxt",
        "lenet300100_sparse_stdtypes.caffemodel",
    ),
    "SqueezeNet": (
        "squeezenet_v1.0_han",
        "deploy.prototxt",
        "squeezenet_v1.0_decoded.caffemodel",
    ),
}


def main() -> None:
    models = Path(os.environ.get("CMODEL_DATA", "../shared")) / "data" / "models"
    if not models.is_dir():
        raise SystemExit(f"no models at {models} (set CMODEL_DATA)")
    print(
        f"{'bits per nonzero':34}{'nonzeros':>9}{'mask':>8}{'index':>8}{'plain':>8}{'entropy':>8}"
    )
    for title, (folder, prototxt, weights) in MODELS.items():
        net = cmodel.load(models / folder / prototxt, models / folder / weights)
        total = np.zeros(5)
        for name in net.parameters:
            values = net.parameters[name].to_dense()
            if values.ndim < 2 or (values != 0).all():
                continue
            figures = measure(values.reshape(len(values), -1) != 0, int(np.prod(values.shape[2:])))
            total += figures
            show(name, figures)
        show(title, total)
    speed()


def measure(nonzero: np.ndarray, kernel: int) -> np.ndarray:
    """Nonzeros, and the bits of mask, relative index, plain bits and entropy."""
    rows, columns = nonzero.shape
    positions = np.flatnonzero(nonzero)
    periods = {0, kernel} if kernel > 1 else {0, *(p for p in (16, 28) if p < columns)}
    coded = mask.encode(positions, rows, columns, periods=sorted(periods))
    if not np.array_equal(mask.decode(coded, rows, columns, positions.size), positions):
        raise SystemExit("a mask does not decode to its positions")
    width = relindex.best_width(positions, nonzero.size)
    index = encode_ints(relindex.encode(positions, nonzero.size, width)).data
    share = positions.size / nonzero.size
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    bits = [8 * len(coded), 8 * len(index), nonzero.size, entropy * nonzero.size]
    return np.array([positions.size, *bits])


def show(title: str, figures: np.ndarray) -> None:
    print(f"{title:34}{figures[0]:9.0f}" + "".join(f"{b / figures[0]:8.3f}" for b in figures[1:]))


def speed() -> None:
    rows, columns = 2000, 4096
    positions = np.flatnonzero(np.random.default_rng(0).random((rows, columns)) < 0.05)
    coded = mask.encode(positions, rows, columns)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        mask.decode(coded, rows, columns, positions.size)
        times.append(time.perf_counter() - start)
    rate = rows * columns / statistics.median(times) / 1e6
    print(f"a mask of density 0.05 decodes at {rate:.0f} M elements/s on one core")


if __name__ == "__main__":
    main()
