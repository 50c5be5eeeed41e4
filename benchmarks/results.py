"""Writes the grids of docs/results.md: each method, some settings of it, on each net.

    python benchmarks/results.py OUTDIR [--alexnet FOLDER] [--net NAME ...]
    cmodel sweep OUTDIR/lenet_bvlc.toml -o lenet_bvlc.jsonl

All methods but presets have the same steps before and after them, so that only they differ:
BatchNorm is folded first; biases and the mean image are coded last. Presets are measured as they
are, rdo at some knobs. Needs the folder of docs/data.md (CMODEL_DATA); paths in the grids go
through OUTDIR/data.
FOLDER is what benchmarks/train_alexnet_cifar.py made; without it there is no grid for that net.
For CaffeNet and VGG-16 random weights are made (800 MB): a few methods, no accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_net import make_net

from cmodel.compress import load_preset

DATA = Path(os.environ.get("CMODEL_DATA", Path(__file__).parents[2] / "shared")) / "data"
ALEXNET = "alexnet_cifar"
SAMPLE = "imagenet-1k-sample"


@dataclass(frozen=True)
class Case:
    """A net, its files and images as a grid in OUTDIR names them, and its settings.

    first : the first convolution, whose one to three input channels no block of weights fits.
    knobs : of quantize.rdo; correct : fit each layer to the responses of the original.
    few : fewer settings of each method, for nets that take long.
    low_rank : svd before rdo as well, for nets whose weights are in large inner products.
    """

    files: tuple[str, str]
    calibration: str
    judged: str
    first: str
    knobs: tuple[float, ...]
    correct: bool = False
    few: bool = False
    low_rank: bool = False

    @property
    def exclude(self) -> str:
        """The selector's words that leave the first convolution out, where there is one."""
        return f', select = {{exclude = ["{self.first}"]}}' if self.first else ""


def _files(name: str, weights: str) -> tuple[str, str]:
    folder = f"data/models/{name}"
    return f"{folder}/deploy.prototxt", f"{folder}/{weights}.caffemodel"


_MNIST = 'data = "data/mnist/t10k-images-idx3-ubyte.gz"\nscale = 0.00390625'
_DIGITS = 'data = "data/mnist/train-images-idx3-ubyte.gz"'
_CIFAR = 'data = "data/cifar10/test.zip"\nchannel_order = "rgb"'
_OBJECTS = 'data = "data/cifar10/train.zip"'
_HALVES = f'root = "data/{SAMPLE}"'
NETS = {
    "lenet_bvlc": Case(
        _files("lenet_bvlc", "lenet_iter_10000"),
        _DIGITS,
        _MNIST,
        "conv1",
        (0.001, 0.002, 0.003, 0.0045),
        low_rank=True,
    ),
    "lenet300100_dns": Case(
        _files("lenet300100_dns", "caffe_lenet300100_original"),
        _DIGITS,
        _MNIST,
        "",
        (0.001, 0.002, 0.003, 0.0045),
        low_rank=True,
    ),
    "cifar10_full": Case(
        _files("cifar10_full", "cifar10_full_iter_70000"),
        _OBJECTS,
        f'{_CIFAR}\nlimit = 2000\nmean_file = "data/models/cifar10_full/mean.binaryproto"',
        "conv1",
        (0.003, 0.006, 0.01, 0.02),
        few=True,
    ),
    "cifar10_resnet20": Case(
        _files("cifar10_resnet20", "resnet20"),
        _OBJECTS,
        # (x / 255 - mean) / deviation, of ImageNet.
        f"{_CIFAR}\nlimit = 2000\nmean_value = [123.675, 116.28, 103.53]\n"
        f"scale = [{1 / (255 * 0.229):.9f}, {1 / (255 * 0.224):.9f}, {1 / (255 * 0.225):.9f}]",
        "conv1",
        (0.002, 0.004, 0.008, 0.012),
        correct=True,
        few=True,
    ),
    "squeezenet_v1.1": Case(
        _files("squeezenet_v1.1", "squeezenet_v1.1_fp32"),
        f'data = "{SAMPLE}-odd.txt"\n{_HALVES}',
        f'data = "{SAMPLE}-even.txt"\n{_HALVES}\nmean_value = [104, 117, 123]\ncrop = "227"',
        "conv1",
        (0.0003, 0.0005, 0.0008),
        few=True,
    ),
    ALEXNET: Case(
        (f"{ALEXNET}/deploy.prototxt", f"{ALEXNET}/{ALEXNET}.caffemodel"),
        _OBJECTS,
        f"{_CIFAR}\nlimit = 2000\nmean_value = [125, 123, 114]\nscale = 0.015625",
        "conv1",
        (0.0001, 0.0002, 0.0004),
        few=True,
        low_rank=True,
    ),
}

# Random weights, as benchmarks/make_net.py draws them; with the first convolution.
RANDOM = {"caffenet": "conv1", "vgg16": "conv1_1"}
NAMES = (*NETS, *RANDOM)

HEAD = '{method = "fold.batchnorm", required = false}'
TAIL = (
    '{method = "quantize.side", select = {kind = "biases"}, optional = true, by = "outputs"}, '
    '{method = "mean.image"}'
)
HALF = '{method = "cast.half"}'
PRESETS = ("lossless", "linear8", "kmeans-huffman", "deep-compression")


def methods(case: Case) -> list[tuple[str, str]]:
    """Return the name and the steps of each method, lists standing for several settings."""
    # Deep nets do not bear 32 values.
    shared = '{method = "quantize.kmeans", k = ' + ("64" if case.few else "32")
    rest = ""
    if case.first:
        rest = f', {shared}, select = {{name = "{case.first}"}}}}'
    narrow = f"{case.exclude}, shared = true"
    few = case.few
    # A net without convolutions says so in its row.
    first = case.first or "conv1"

    def vectors(method: str, options: str) -> str:
        return f'{{method = "quantize.{method}", {options}}}{rest}, {HALF}'

    def then_kmeans(method: str, options: str) -> str:
        return f'{{method = "{method}", {options}}}, {shared}}}'

    def chains(options: str) -> str:
        convolutions = 'select = {type = "Convolution"}, weighted = true'
        return then_kmeans("factorize.conv", f"{convolutions}, {options}")

    linear, means = (
        ("[3, 4, 6]", "[8, 16, 32, 64]") if few else ("[2, 3, 4, 6]", "[4, 6, 8, 16, 32]")
    )
    steps = "[0.25, 0.5, 1.0]" if few else "[0.5, 0.75, 1.0, 1.5]"
    words = "64" if few else "[16, 64]"
    finer = "[64, 256]" if few else words
    ratio = "0.75" if few else "[0.5, 0.75]"
    return [
        ("half", HALF),
        ("linear", f'{{method = "quantize.linear", bits = {linear}}}'),
        (
            "fixed point",
            f'{{method = "quantize.stochastic", bits = {"[4, 6]" if few else "[3, 4, 6]"}, '
            'rounding = ["stochastic", "nearest"]}',
        ),
        ("k-means", f'{{method = "quantize.kmeans", k = {means}}}'),
        (
            "uniform",
            f'{{method = "quantize.uniform", step = {steps}}}',
        ),
        ("binary", '{method = "quantize.binary", granularity = "channel"}'),
        ("product", vectors("product", f"dimension = 2, k = {finer}{narrow}")),
        (
            "product",
            vectors("product", f"dimension = 4, k = {'256' if few else '[64, 256]'}{narrow}"),
        ),
        ("residual", vectors("residual", f"dimension = 4, k = {words}, stages = 2{narrow}")),
        ("cartesian", vectors("cartesian", f"dimension = 2, k = {words}{narrow}")),
        ("qcnn", vectors("qcnn", f"dimension = 2, k = {words}{case.exclude}")),
        ("hash", f'{{method = "hash.buckets", ratio = {"0.5" if few else "[0.25, 0.5]"}}}, {HALF}'),
        (
            "prune",
            then_kmeans(
                "prune.magnitude", f"density = {'[0.5, 0.7]' if few else '[0.2, 0.3, 0.4, 0.6]'}"
            ),
        ),
        (
            "block prune",
            then_kmeans("prune.block", f"height = 2, density = {'0.8' if few else '[0.5, 0.7]'}"),
        ),
        (
            "obs prune",
            then_kmeans(
                "prune.obs",
                f'algorithm = "columns", density = {"[0.4, 0.6]" if few else "[0.2, 0.3, 0.4]"}',
            ),
        ),
        (
            "structured prune",
            then_kmeans("prune.structured", f"density = {'0.9' if few else '[0.8, 0.9]'}"),
        ),
        ("svd", then_kmeans("factorize.svd", "energy = 0.9")),
        (
            "svd",
            then_kmeans(
                "factorize.svd",
                f"energy = {'[0.99, 0.999]' if few else '[0.95, 0.98, 0.99]'}, weighted = true",
            ),
        ),
        ("conv factors", chains(f'scheme = ["spatial", "tucker"], ratio = {ratio}')),
        ("conv factors", chains('scheme = "cp", ratio = 0.5')),
        (
            "conv factors",
            then_kmeans(
                "factorize.conv",
                f'select = {{type = "Convolution", exclude = ["{first}"]}}, '
                'scheme = "biclustered", ratio = 0.5',
            ),
        ),
        (
            "conv factors",
            then_kmeans(
                "factorize.conv",
                f'select = {{name = "{first}"}}, scheme = "monochromatic", rank = 4',
            ),
        ),
        ("dictionary", then_kmeans("factorize.dictionary", f"ratio = {ratio}")),
    ]


def rdo(case: Case) -> str:
    """Return the steps of the preset rdo at the knobs of a net."""
    steps = load_preset("rdo").source["step"]
    changes = {"knob": list(case.knobs), **({"correct": True} if case.correct else {})}
    return ", ".join(
        inline({**step, **changes} if step["method"] == "quantize.rdo" else step) for step in steps
    )


def inline(value: Any) -> str:
    """Return a value of a recipe as TOML on one line."""
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {inline(one)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return json.dumps(value)


def grid(name: str) -> str:
    """Return the grid file of a net."""
    case = NETS[name]
    prototxt, weights = case.files
    parts = [
        f"[calibration]\n{case.calibration}\n\n"
        f'[[net]]\nname = "{name}"\ntrained = true\n'
        f'prototxt = "{prototxt}"\nweights = "{weights}"\n{case.judged}\n'
    ]
    parts += [f'[[method]]\npreset = "{preset}"\n' for preset in PRESETS]
    parts.append(f'[[method]]\nname = "rdo"\nstep = [{rdo(case)}]\n')
    if case.low_rank:
        svd = '{method = "factorize.svd", energy = 0.99, weighted = true}'
        parts.append(f'[[method]]\nname = "svd, rdo"\nstep = [{svd}, {rdo(case)}]\n')
    parts += [
        f'[[method]]\nname = "{label}"\nstep = [{HEAD}, {steps}, {TAIL}]\n'
        for label, steps in methods(case)
    ]
    return "\n".join(parts)


def random_grid(name: str) -> str:
    """Return the grid file of a net with random weights: bytes, seconds and memory only."""
    parts = [
        f'[[net]]\nname = "{name}"\ntrained = false\n'
        f'prototxt = "random/{name}/deploy.prototxt"\n'
        f'weights = "random/{name}/weights.caffemodel"\n'
    ]
    parts += [f'[[method]]\npreset = "{preset}"\n' for preset in PRESETS]
    first = RANDOM[name]
    product = (
        f'{{method = "quantize.product", k = 256, dimension = 8, select = {{exclude = ["{first}"]}}'
        f'}}, {{method = "quantize.kmeans", k = 32, select = {{name = "{first}"}}}}, {HALF}'
    )
    svd = f'{{method = "factorize.svd", ratio = 0.25}}, {HALF}'
    parts += [
        f'[[method]]\nname = "{label}"\nstep = [{steps}]\n'
        for label, steps in (("half", HALF), ("product", product), ("svd", svd))
    ]
    return "\n".join(parts)


def write_halves(folder: Path) -> None:
    """Write the list files of every other sample image: the odd ones calibrate, the even judge."""
    lines = (DATA / SAMPLE / "list.txt").read_text("utf-8").splitlines()
    for start, half in enumerate(("even", "odd")):
        text = "\n".join(lines[start::2])
        (folder / f"{SAMPLE}-{half}.txt").write_text(f"{text}\n", "utf-8")


def write_grids(folder: Path, names: list[str], alexnet: Path | None = None) -> list[Path]:
    """Write the grids of these nets with what they refer to; return their paths.

    `alexnet` is the folder of that net's files: without it the net is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _link(folder / "data", DATA)
    if alexnet is not None:
        _link(folder / ALEXNET, alexnet)
    write_halves(folder)
    written = []
    for name in names:
        if name == ALEXNET and alexnet is None:
            continue
        if name in RANDOM and not (folder / "random" / name / "weights.caffemodel").exists():
            make_net(name, folder / "random" / name)
        path = folder / f"{name}.toml"
        path.write_text(random_grid(name) if name in RANDOM else grid(name), "utf-8")
        written.append(path)
    return written


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target.resolve(), target_is_directory=True)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what names the nets and OUTDIR."""
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    parser.add_argument("--alexnet", type=Path, metavar="FOLDER", help="of that net's files")
    parser.add_argument("--net", nargs="+", choices=NAMES, default=list(NAMES))


def main() -> None:
    """Write the grids and the links to the data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments(parser)
    options = parser.parse_args()
    for path in write_grids(options.folder, options.net, options.alexnet):
        print(path)


if __name__ == "__main__":
    main()
