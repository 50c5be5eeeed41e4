"""Files of this package beside nncodec (ISO/IEC 15938-17, trellis on) and k-means, at equal KL.

KL is the mean over the judged images of KL(original || packed) of the softmax, in nats; it and
top-1 come from this package's engine for all. Judged are 10,000 test images, or for SqueezeNet the
second half of the 1000 images; calibrated is on training images, or on the first half.

Two counts of bytes are given. `bytes` is the whole file: nncodec's has no network in it, ours has.
`tensor_bytes` is what holds the parameters, biases and tables included: of nncodec's the output of
the arithmetic coder, of ours the streams and their directory (shapes, forms, checksums).

    python benchmarks/peers_compression.py [--nets NAME...] [--stored] [--recipe TEMPLATE.toml]
        [--ours NET=FILE.cmodel...] [--k 4 8 16 32 64] [--json OUT.json] [--keep]

nncodec is installed into an environment of its own (--env). --keep stores its points in
benchmarks/results/nncodec.json, net by net, and --stored takes them from there instead. --recipe
names a recipe in which the word KNOB stands for a number: it is bisected until our KL is no larger
than that of each of nncodec's points.
Needs the folder of docs/data.md (CMODEL_DATA).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from math import exp, inf, log
from pathlib import Path
from typing import Any

import numpy as np
from environments import environment
from numpy.typing import NDArray

import cmodel
from cmodel import container
from cmodel.caffe import load_mean
from cmodel.compress import compress, parse_recipe
from cmodel.container import MEAN_IMAGE_NAME, Container
from cmodel.data import Inputs, batches, open_source, sample
from cmodel.interchange.arrays import write_npz
from cmodel.net import InputTransform, Net
from cmodel.tensors import Dense

HERE = Path(__file__).parent
STORED = HERE / "results" / "nncodec.json"
DATA = Path(os.environ.get("CMODEL_DATA", HERE.parent.parent / "shared")) / "data"
CALIBRATION_IMAGES = 500
BATCH = 50

MNIST = ("mnist/train-images-idx3-ubyte.gz", "mnist/t10k-images-idx3-ubyte.gz")
CIFAR = ("cifar10/train.zip", "cifar10/test.zip")
IMAGENET = ("imagenet-1k-sample/list.txt", "imagenet-1k-sample/list.txt")
TO_UNIT = InputTransform(scale=(1 / 256,))
STANDARDIZED = InputTransform(
    mean_values=(123.675, 116.28, 103.53),
    scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    channel_order="rgb",
)
CAFFE_CROP = InputTransform(mean_values=(104, 117, 123), crop=(227, 227))

KMEANS = '[[step]]\nmethod = "quantize.kmeans"\ninit = "linear"\nk = KNOB\n'
FOLD = '[[step]]\nmethod = "fold.batchnorm"\n'

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A net to compare on.

    images : sources to calibrate on and to judge; where both are the same, each takes its half.
    transform : None for the folder's mean image on RGB.
    qps : nncodec's quantization parameters, from fine to coarse.
    fold : fold BatchNorm before anything else; outputs are compared with the original's.
    """

    folder: str
    weights: str
    images: tuple[str, str]
    transform: InputTransform | None
    qps: tuple[int, ...]
    fold: bool = False

    @cached_property
    def original(self) -> Net:
        """The net as it was trained, with its transform."""
        models = DATA / "models" / self.folder
        net = cmodel.load(models / "deploy.prototxt", models / f"{self.weights}.caffemodel")
        net.transform = self.transform or InputTransform(
            mean_image=load_mean(models / "mean.binaryproto"), channel_order="rgb"
        )
        return net

    @cached_property
    def net(self) -> Net:
        """The net that is compressed."""
        return compress(self.original, parse_recipe(FOLD, "fold")) if self.fold else self.original

    def calibration(self) -> Inputs:
        """Return images to calibrate on, none of them judged."""
        source = open_source(DATA / self.images[0])
        count = len(source) // 2 if self.images[0] == self.images[1] else len(source)
        chosen = sample(count, CALIBRATION_IMAGES)
        return Inputs(source, chosen, self.original.transform, self._input_shape, BATCH)

    @property
    def _input_shape(self) -> Any:
        return next(iter(self.original.inputs.values()))

    @cached_property
    def judge(self) -> Judge:
        """What judges nets against the original."""
        with open_source(DATA / self.images[1]) as source:
            first = len(source) // 2 if self.images[0] == self.images[1] else 0
            indices = np.arange(first, len(source), dtype=np.int64)
            parts = list(
                batches(source, indices, self.original.transform, self._input_shape, BATCH)
            )
        labels = np.concatenate([part for _, part in parts if part is not None])
        return Judge(self.original, [x for x, _ in parts], labels)


CASES = {
    "lenet_bvlc": Case("lenet_bvlc", "lenet_iter_10000", MNIST, TO_UNIT, (-28, -24, -22, -20)),
    "lenet5_dns": Case("lenet5_dns", "caffe_lenet5_original", MNIST, TO_UNIT, (-26, -22, -18, -15)),
    "lenet300100_dns": Case(
        "lenet300100_dns", "caffe_lenet300100_original", MNIST, TO_UNIT, (-24, -20, -18, -16)
    ),
    "cifar10_quick": Case(
        "cifar10_quick", "cifar10_quick_iter_5000", CIFAR, None, (-36, -32, -28, -24)
    ),
    "cifar10_full": Case(
        "cifar10_full", "cifar10_full_iter_70000", CIFAR, None, (-36, -32, -28, -24)
    ),
    "cifar10_resnet20": Case(
        "cifar10_resnet20", "resnet20", CIFAR, STANDARDIZED, (-36, -32, -28, -24), fold=True
    ),
    "cifar10_resnet20_unfolded": Case(
        "cifar10_resnet20", "resnet20", CIFAR, STANDARDIZED, (-36, -32, -28, -24)
    ),
    "squeezenet_v1.1": Case(
        "squeezenet_v1.1", "squeezenet_v1.1_fp32", IMAGENET, CAFFE_CROP, (-36, -32, -28, -24)
    ),
}


@dataclass(frozen=True)
class Row:
    """One measured point. ratio : float32 bytes of the original's parameters / bytes."""

    net: str
    peer: str
    setting: str
    bytes: int
    tensor_bytes: int
    ratio: float
    top1: float
    kl: float
    images: int


class Judge:
    """Compares nets with the original on fixed images."""

    def __init__(self, original: Net, inputs: list[Floats], labels: NDArray[np.int64]) -> None:
        self.inputs, self.labels = inputs, labels
        self._log_p = self._log_probabilities(original)
        self.top1 = self._top1(self._log_p)

    def __call__(self, net: Net) -> tuple[float, float]:
        """Return top-1 in percent, and the mean KL in nats."""
        log_q = self._log_probabilities(net)
        return self._top1(log_q), mean_kl(self._log_p, log_q)

    def _log_probabilities(self, net: Net) -> NDArray[np.float64]:
        engine = cmodel.Engine(net, threads=1)
        feed, blob = next(iter(net.inputs)), scores_blob(net)
        scores = [engine.run({feed: x}, [blob])[blob].reshape(len(x), -1) for x in self.inputs]
        return log_softmax(np.concatenate(scores))

    def _top1(self, log_p: NDArray[np.float64]) -> float:
        return 100.0 * float((log_p.argmax(1) == self.labels).mean())


def scores_blob(net: Net) -> str:
    """Return the blob of the scores before the Softmax, if one ends the net."""
    (output,) = net.outputs
    last = next(layer for layer in reversed(net.layers) if output in layer.tops)
    return last.bottoms[0] if last.type == "Softmax" and last.bottoms[0] != output else output


def log_softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithms of the softmax along the last axis."""
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def mean_kl(log_p: NDArray[np.float64], log_q: NDArray[np.float64]) -> float:
    """Return the mean over images of KL(p || q), in nats; infinite where q is not a number."""
    kl = float((np.exp(log_p) * (log_p - log_q)).sum(-1).mean())
    return inf if np.isnan(kl) else kl


def with_weights(net: Net, path: Path) -> Net:
    """Return the net with the parameters of an .npz.

    Raises
    ------
    ValueError : the arrays are not those of the net.
    """
    result = net.copy()
    with np.load(path, allow_pickle=False) as archive:
        if set(archive.files) != set(net.parameters):
            raise ValueError(f"{path} holds other parameters than the net")
        for name in net.parameters:
            values = archive[name]
            if values.shape != net.parameters.shape(name):
                raise ValueError(f"{path}: {name} has the shape {values.shape}")
            result.parameters[name] = Dense(values.astype(np.float32))
    return result


# --- nncodec -------------------------------------------------------------------------------------


def nncodec_rows(
    name: str, case: Case, python: Path, qps: Sequence[int]
) -> tuple[list[Row], dict[str, str]]:
    """Run nncodec over a net; return its points and the versions of what ran."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        write_npz(case.net, weights)
        command = [str(python), str(HERE / "nncodec_driver.py"), str(weights), folder, "--qp"]
        done = subprocess.run(
            [*command, *map(str, qps)], check=True, capture_output=True, text=True
        )
        answer = json.loads(done.stdout)
        rows = []
        for point in answer["points"]:
            top1, kl = case.judge(with_weights(case.net, Path(point["weights"])))
            size = point["bytes"], point["tensor_bytes"]
            rows.append(_row(name, case, "nncodec", f"qp {point['qp']}", size, top1, kl))
    return rows, answer["versions"]


# --- this package --------------------------------------------------------------------------------


def sizes(path: Path) -> tuple[int, int]:
    """Return the bytes of a container, and of them those that hold the parameters."""
    stored = Container(path)
    streams = sum(tensor.size for tensor in stored.tensors if tensor.name != MEAN_IMAGE_NAME)
    return stored.size, streams + len(stored.manifest.directory)


def judge_file(name: str, case: Case, peer: str, setting: str, path: Path) -> Row:
    """Return the point of a packed file."""
    top1, kl = case.judge(container.read(path))
    return _row(name, case, peer, setting, sizes(path), top1, kl)


def pack(name: str, case: Case, peer: str, template: str, knob: float) -> Row:
    """Pack with a recipe in which KNOB is replaced by a number; return the point."""
    recipe = parse_recipe(template.replace("KNOB", f"{knob:g}"), peer)
    methods = [(step.method, step.method.make_options(step.options)) for step in recipe.steps]
    needs_data = any(method.needs(options) for method, options in methods)
    packed = compress(case.net, recipe, data=case.calibration() if needs_data else None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.cmodel"
        container.write(packed, path)
        return judge_file(name, case, peer, f"{knob:g}", path)


def pack_at_kl(
    target: float,
    pack_with: Callable[[float], Row],
    low: float,
    high: float,
    *,
    tolerance: float = 0.03,
    tries: int = 10,
) -> Row:
    """Bisect a knob, larger being coarser, to the coarsest point with a KL of at most `target`.

    low, high : the knob's range. low has to be good enough; the search is by ratio, and ends when
    the KL is within `tolerance` below the target (relative), or after `tries` points.

    Raises
    ------
    ValueError : even `low` is too coarse.
    """
    best = pack_with(low)
    if best.kl > target:
        raise ValueError(f"the knob {low:g} gives a KL of {best.kl:.3g}, {target:.3g} is asked for")
    for _ in range(tries):
        if best.kl >= target * (1 - tolerance) or high / low < 1.002:
            break
        middle = (low * high) ** 0.5
        row = pack_with(middle)
        if row.kl <= target:
            low, best = middle, min(best, row, key=lambda r: r.tensor_bytes)
        else:
            high = middle
    return best


# --- comparison ----------------------------------------------------------------------------------


def bytes_at_kl(points: Iterable[tuple[float, float]], kl: float) -> float | None:
    """Return the bytes of a curve of (KL, bytes) at a KL, linear in the logarithms of both.

    Points with more bytes than one of less KL do not count. Below the least KL it is the bytes
    there: the curve would need no fewer. None above the largest KL: curves are not extended.
    """
    curve: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if x < inf and (not curve or log(y) < curve[-1][1]):
            curve.append((log(max(x, 1e-12)), log(y)))
    x = log(max(kl, 1e-12))
    if not curve or x > curve[-1][0] + 1e-9:
        return None
    return exp(float(np.interp(x, *zip(*curve, strict=True))))


def saving(ours: Row, peers: Sequence[Row]) -> dict[str, float | None]:
    """Return for both counts how many percent fewer bytes ours has than the peer at the same KL."""
    result: dict[str, float | None] = {}
    for count in ("bytes", "tensor_bytes"):
        theirs = bytes_at_kl([(row.kl, getattr(row, count)) for row in peers], ours.kl)
        result[count] = None if theirs is None else 100 * (1 - getattr(ours, count) / theirs)
    return result


def _row(
    name: str, case: Case, peer: str, setting: str, size: tuple[int, int], top1: float, kl: float
) -> Row:
    ratio = 4 * case.original.parameter_count() / size[0]
    return Row(name, peer, setting, *size, ratio, top1, kl, len(case.judge.labels))


def table(rows: Sequence[Row], original: float) -> str:
    """Return the rows of one net as text, with the saving of ours against each peer."""
    others = ("nncodec", "k-means")
    lines = [
        f"{rows[0].net}: top-1 {original:.2f} % on {rows[0].images} images",
        f"{'':10}{'':>9}{'bytes':>10}{'tensors':>10}{'ratio':>8}{'top-1':>8}{'KL':>10}"
        + "".join(f"{f'vs {peer}':>12}" for peer in others),
    ]
    for row in rows:
        line = (
            f"{row.peer:10}{row.setting:>9}{row.bytes:10d}{row.tensor_bytes:10d}"
            f"{row.ratio:7.1f}x{row.top1:8.2f}{row.kl:10.5f}"
        )
        if row.peer not in others:
            for peer in others:
                fewer = saving(row, [r for r in rows if r.peer == peer])["tensor_bytes"]
                line += f"{'':>12}" if fewer is None else f"{-fewer:+11.1f}%"
        lines.append(line)
    return "\n".join(lines)


def read_stored(path: Path) -> dict[str, list[Row]]:
    """Return stored rows by net."""
    rows = [Row(**row) for row in json.loads(path.read_text("utf-8"))["rows"]]
    return {name: [row for row in rows if row.net == name] for name in {row.net for row in rows}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--env", type=Path, default=HERE.parent / "build" / "nncodec")
    parser.add_argument("--qp", type=int, nargs="+", help="instead of each net's own")
    parser.add_argument("--stored", action="store_true", help="nncodec's points as committed")
    parser.add_argument("--k", type=int, nargs="*", default=[4, 8, 16, 32, 64], help="of k-means")
    parser.add_argument("--recipe", type=Path, help="with KNOB in it")
    parser.add_argument("--range", type=float, nargs=2, default=[0.01, 10], help="of the knob")
    parser.add_argument("--ours", nargs="+", default=[], metavar="NET=FILE")
    parser.add_argument("--json", type=Path, help="write all rows")
    parser.add_argument("--keep", action="store_true", help="store nncodec's points for --stored")
    options = parser.parse_args()
    files = [text.partition("=")[::2] for text in options.ours]
    if unknown := {name for name, _ in files} - set(options.nets):
        parser.error(f"--ours names nets that are not compared: {', '.join(sorted(unknown))}")

    stored = read_stored(STORED) if options.stored or (options.keep and STORED.exists()) else {}
    python = None if options.stored else environment(options.env, HERE / "requirements-nncodec.txt")
    versions: dict[str, str] = {}
    every: list[Row] = []
    for name in options.nets:
        case = CASES[name]
        if python is None:
            rows = [row for row in stored.get(name, []) if row.peer == "nncodec"]
        else:
            rows, versions = nncodec_rows(name, case, python, options.qp or case.qps)
        targets = [row.kl for row in rows]
        rows += [pack(name, case, "k-means", KMEANS, k) for k in options.k]
        mine = [Path(file) for net, file in files if net == name]
        rows += [judge_file(name, case, "ours", path.name, path) for path in mine]
        if options.recipe is not None:
            template = options.recipe.read_text("utf-8")
            with_knob = partial(pack, name, case, "ours", template)
            rows += [pack_at_kl(target, with_knob, *options.range) for target in targets]
        print(table(rows, case.judge.top1), end="\n\n", flush=True)
        every += rows
        # A net's images and outputs are not needed any more.
        vars(case).pop("judge", None)
        if options.keep and python is not None:
            stored[name] = [row for row in rows if row.peer == "nncodec"]
            _write(STORED, versions, [row for net in CASES for row in stored.get(net, [])])
    if options.json is not None:
        _write(options.json, versions, every)


def _write(path: Path, versions: dict[str, str], rows: Sequence[Row]) -> None:
    document = {
        "command": "make peers-compression PEERS=--keep",
        "versions": versions,
        "rows": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
