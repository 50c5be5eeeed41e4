"""Writes the grid of methods that `cmodel sweep` measures, one file for each net.

    python benchmarks/results.py OUTDIR
    cmodel sweep OUTDIR/lenet_bvlc.toml -o lenet_bvlc.jsonl

All methods but presets have the same steps before and after them, so that only they differ:
BatchNorm is folded first; biases and the mean image are coded last. Presets are measured as they
are. Needs the folder of docs/data.md (CMODEL_DATA); paths in the grids go through OUTDIR/data.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DATA = Path(os.environ.get("CMODEL_DATA", Path(__file__).parents[2] / "shared")) / "data"

MNIST = (
    "mnist/train-images-idx3-ubyte.gz",
    "mnist/t10k-images-idx3-ubyte.gz",
    "scale = 0.00390625",
)
CIFAR = ("cifar10/train.zip", "cifar10/test.zip")
# Folder, weights, images that calibrate and that judge, transform, knobs of quantize.rdo.
NETS = {
    "lenet_bvlc": ("lenet_iter_10000", *MNIST, "0.0005, 0.001, 0.002, 0.004"),
    "lenet300100_dns": ("caffe_lenet300100_original", *MNIST, "0.0005, 0.001, 0.002, 0.004"),
    "cifar10_full": (
        "cifar10_full_iter_70000",
        *CIFAR,
        'channel_order = "rgb"\nlimit = 2000\n'
        'mean_file = "data/models/cifar10_full/mean.binaryproto"',
        "0.003, 0.006, 0.01, 0.02",
    ),
}
HEAD = '{method = "fold.batchnorm", required = false}'
TAIL = (
    '{method = "quantize.side", select = {kind = "biases"}, optional = true, by = "outputs"}, '
    '{method = "mean.image"}'
)
PRESETS = ("lossless", "linear8", "kmeans-huffman", "deep-compression")
KMEANS = '{method = "quantize.kmeans", k = 32}'
METHODS = {
    "linear": '{method = "quantize.linear", bits = [3, 4, 5, 6]}',
    "k-means": '{method = "quantize.kmeans", k = [4, 8, 16, 32]}',
    "binary": '{method = "quantize.binary", granularity = "channel"}',
    "fixed point": '{method = "quantize.stochastic", bits = [4, 6, 8]}',
    "uniform": '{method = "quantize.uniform", step = [0.25, 0.5, 0.75, 1.0]}',
    "half": '{method = "cast.half"}',
    "hash": '{method = "hash.buckets", ratio = [0.25, 0.5]}',
    "prune, k-means": f'{{method = "prune.magnitude", density = [0.1, 0.2, 0.4]}}, {KMEANS}',
    "svd, k-means": f'{{method = "factorize.svd", energy = [0.8, 0.9, 0.95]}}, {KMEANS}',
}


def grid(name: str) -> str:
    """Return the grid file of a net."""
    weights, calibration, judged, options, knobs = NETS[name]
    rdo = (
        f'{{method = "quantize.rdo", knob = [{knobs}], trellis = true, '
        "rate_weight = 0.002, damp = 0.02}"
    )
    methods = {**METHODS, "rdo": f'{rdo}, {{method = "correct.bias", optional = true}}'}
    parts = [
        f'[calibration]\ndata = "data/{calibration}"\n\n[[net]]\nname = "{name}"\ntrained = true\n'
        f'prototxt = "data/models/{name}/deploy.prototxt"\n'
        f'weights = "data/models/{name}/{weights}.caffemodel"\ndata = "data/{judged}"\n{options}\n'
    ]
    parts += [f'[[method]]\npreset = "{preset}"\n' for preset in PRESETS]
    parts += [
        f'[[method]]\nname = "{label}"\nstep = [{HEAD}, {steps}, {TAIL}]\n'
        for label, steps in methods.items()
    ]
    return "\n".join(parts)


def main() -> None:
    """Write the grids and the link to the data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "data"
    link.unlink(missing_ok=True)
    link.symlink_to(DATA.resolve(), target_is_directory=True)
    for name in NETS:
        (folder / f"{name}.toml").write_text(grid(name), "utf-8")


if __name__ == "__main__":
    main()
