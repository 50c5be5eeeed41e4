"""Files of this package beside nncodec (ISO/IEC 15938-17, trellis on) and k-means, at equal KL.

KL is the mean over the judged images of KL(original || packed) of the softmax, in nats; it and
top-1 come from this package's engine for all. Judged are 10,000 test images, or for SqueezeNet the
second half of the 1000 images; calibrated is on 1000 training images, or on the first half.

Two counts of bytes are given. `bytes` is the whole file: nncodec's and the one of k-means have no
network in them, ours has. `tensor_bytes` is what holds the parameters, biases and tables included:
of nncodec's the output of the arithmetic coder, of ours the streams and their directory (shapes,
forms, checksums), of k-means the codebooks, the Huffman coded indices and the float32 biases.

    python benchmarks/peers_compression.py [--nets NAME...] [--stored] [--recipe PRESET-OR-FILE]
        [--ours NET=FILE.cmodel...] [--k 4 8 16 32 64] [--json OUT.json] [--keep]

nncodec is installed into an environment of its own (--env). --keep stores its points in
benchmarks/results/nncodec.json, net by net, and --stored takes them from there instead.

--recipe names a preset, or a file, with a `knob`: `cmodel.compress.search` finds the layers' shares
and options once for each net, from the calibration images alone, half of which judge; then the knob
is moved, all of those images calibrating, until our KL on the judged images is no larger than that
of each of nncodec's points. Files are written at level 9, which decodes bit by bit as nncodec does.
--json keeps the rows of other nets that the file holds already; docs/generate_peers.py makes
docs/results-peers.md of it. Needs the folder of docs/data.md (CMODEL_DATA).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import exp, inf, log
from pathlib import Path
from typing import cast

import numpy as np
from compression_cases import CASES, Case, scores_blob
from compression_rows import Document, Row, table
from environments import environment

from cmodel import container
from cmodel.compress import (
    Calibration,
    Goal,
    Judge,
    Recipe,
    apply_recipe,
    parse_recipe,
    resolve_recipe,
    search,
)
from cmodel.compress.knobs import Changes, with_knob
from cmodel.container import MEAN_IMAGE_NAME, Container
from cmodel.container.directory import write_form
from cmodel.container.streams import Sink
from cmodel.interchange.arrays import write_npz
from cmodel.net import Net
from cmodel.tensors import Dense, Form
from cmodel.threads import set_thread_count

HERE = Path(__file__).parent
STORED = HERE / "results" / "nncodec.json"
KEEP_COMMAND = "make peers-compression PEERS=--keep"
COMMAND = (
    "make peers-compression "
    "PEERS='--stored --recipe rdo --rates 3 --json benchmarks/results/compression.json'"
)
LEVEL = 9
# Most clusters that are tried where fewer do not reach a KL.
MOST_CLUSTERS = 1024

KMEANS = '[[step]]\nmethod = "quantize.kmeans"\ninit = "linear"\nk = KNOB\n'


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


def kmeans_row(name: str, case: Case, k: int) -> Row:
    """Return the point of k-means with k clusters for each layer, its indices Huffman coded."""
    recipe = parse_recipe(KMEANS.replace("KNOB", str(k)), "k-means")
    packed = apply_recipe(case.net, recipe, threads=1)
    size = 0
    for parameter in packed.parameters:
        sink = Sink(("huffman",), ())
        write_form(cast(Form, packed.parameters[parameter]), sink)
        size += sink.size + len(sink.directory.bytes())
    return _row(name, case, "k-means", str(k), (size, size), *case.judge(packed))


def kmeans_rows(name: str, case: Case, ks: Sequence[int], targets: Sequence[float]) -> list[Row]:
    """Return the points for some k, and for more of them where the least KL is not reached."""
    rows = [kmeans_row(name, case, k) for k in sorted(ks)]
    while rows and min(row.kl for row in rows) > min(targets, default=inf):
        k = 2 * int(rows[-1].setting)
        if k > MOST_CLUSTERS:
            break
        rows.append(kmeans_row(name, case, k))
    return rows


class Ours:
    """Packs one net with a recipe that has a knob; keeps every point.

    factors, changes : what `search` found for the layers, see `cmodel.compress.knobs.with_knob`.
    """

    def __init__(self, name: str, case: Case, recipe: Recipe, level: int = LEVEL) -> None:
        self.name, self.case, self.recipe, self.level = name, case, recipe, level
        self.points: dict[float, Row] = {}
        self.factors: Mapping[str, float] = {}
        self.changes: Changes = {}
        self.knob = 0.001

    def search(self, max_kl: float) -> None:
        """Find factors, changes and a first knob from the calibration images alone."""
        net, images = self.case.net, self.case.calibration
        half = len(images) // 2
        feed = next(iter(net.inputs))
        # Every other image, so that both halves are of the same kind.
        judge = Judge.of(net, images[1::2][:half], None, feed, scores_blob(net))
        found = search(
            net,
            self.recipe,
            Goal(max_kl=max_kl),
            data=Calibration(net, np.ascontiguousarray(images[::2])),
            judge=judge,
            level=self.level,
            threads=1,
        )
        self.factors, self.changes = found.best.factors, found.best.changes
        self.knob = found.best.knob

    @cached_property
    def _calibration(self) -> Calibration:
        return Calibration(self.case.net, self.case.calibration)

    def __call__(self, knob: float) -> Row:
        """Return the point of a knob."""
        recipe = with_knob(self.recipe, knob, self.factors, self.changes)
        return self.pack(recipe, f"{knob:.6g}")

    def pack(self, recipe: Recipe, setting: str) -> Row:
        """Return the point of a recipe."""
        packed = apply_recipe(self.case.net, recipe, data=self._calibration, threads=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "packed.cmodel"
            container.write(packed, path, level=self.level)
            return judge_file(self.name, self.case, "ours", setting, path)

    def at_kl(self, target: float) -> Row:
        """Return the smallest point with a KL of at most `target`."""
        return pack_at_kl(target, self, self.knob, self.points)


def pack_at_kl(
    target: float,
    pack_with: Callable[[float], Row],
    start: float,
    known: dict[float, Row],
    *,
    tolerance: float = 0.02,
    tries: int = 6,
) -> Row:
    """Move a knob, larger being coarser, to the smallest point with a KL of at most `target`.

    start : the first knob where none is known. known : points by knob, to which new ones are added.
    log(KL) is taken as a line in log(knob) between the two points around the target, and with the
    slope 2 beyond them; it ends when a KL is within `tolerance` below the target (relative), or
    after `tries` new points.

    Raises
    ------
    ValueError : the target was not met.
    """
    aim = log(target * (1 - tolerance / 2))
    for _ in range(tries):
        good = {knob: row for knob, row in known.items() if row.kl <= target}
        if any(row.kl >= target * (1 - tolerance) for row in good.values()):
            break
        low = max(good, default=None)
        bad = [knob for knob in known if knob not in good and (low is None or knob > low)]
        high = min(bad, default=None)
        if low is None and high is None:
            knob = start
        elif low is None or high is None:
            near = low if high is None else high
            knob = near * exp((aim - log(known[near].kl)) / 2)
        else:
            if high / low < 1.002:
                break
            left, right = log(known[low].kl), log(known[high].kl)
            part = (aim - left) / (right - left)
            knob = low * (high / low) ** min(max(part, 0.05), 0.95)
        known[knob] = pack_with(knob)
    met = [row for row in known.values() if row.kl <= target]
    if not met:
        raise ValueError(f"no knob was found that gives a KL of at most {target:.3g}")
    return min(met, key=lambda row: row.tensor_bytes)


def _row(
    name: str, case: Case, peer: str, setting: str, size: tuple[int, int], top1: float, kl: float
) -> Row:
    ratio = 4 * case.original.parameter_count() / size[0]
    return Row(name, peer, setting, *size, ratio, top1, kl, len(case.judge.labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--env", type=Path, default=HERE.parent / "build" / "nncodec")
    parser.add_argument("--qp", type=int, nargs="+", help="instead of each net's own")
    parser.add_argument("--stored", action="store_true", help="nncodec's points as committed")
    parser.add_argument("--rates", type=int, help="match only so many of its points, finest first")
    parser.add_argument("--k", type=int, nargs="*", default=[4, 8, 16, 32, 64], help="of k-means")
    parser.add_argument("--recipe", help="a preset or a recipe file with a knob, for instance rdo")
    parser.add_argument("--ours", nargs="+", default=[], metavar="NET=FILE")
    parser.add_argument("--json", type=Path, help="write all rows")
    parser.add_argument("--keep", action="store_true", help="store nncodec's points for --stored")
    options = parser.parse_args()
    files = [text.partition("=")[::2] for text in options.ours]
    if unknown := {name for name, _ in files} - set(options.nets):
        parser.error(f"--ours names nets that are not compared: {', '.join(sorted(unknown))}")
    set_thread_count(1)

    nncodec = Document.read(STORED)
    every = Document() if options.json is None else Document.read(options.json)
    python = None if options.stored else environment(options.env, HERE / "requirements-nncodec.txt")
    for name in options.nets:
        case = CASES[name]
        if python is None:
            rows = [row for row in nncodec.rows.get(name, []) if row.peer == "nncodec"]
        else:
            rows, nncodec.versions = nncodec_rows(name, case, python, options.qp or case.qps)
        if options.keep and python is not None:
            nncodec.rows[name] = rows
            nncodec.write(STORED, KEEP_COMMAND)
        targets = [row.kl for row in rows][: options.rates]
        rows = rows + kmeans_rows(name, case, options.k, targets)
        mine = [Path(file) for net, file in files if net == name]
        rows += [judge_file(name, case, "ours", path.name, path) for path in mine]
        every.versions, every.top1[name] = nncodec.versions, case.judge.top1
        if options.recipe is not None and targets:
            ours = Ours(name, case, resolve_recipe(options.recipe))
            ours.search(exp(float(np.mean(np.log(targets)))))
            every.searched[name] = {"factors": ours.factors, "changes": ours.changes}
            for target in targets:
                rows.append(ours.at_kl(target))
                every.rows[name] = rows
                if options.json is not None:
                    every.write(options.json, COMMAND)
        every.rows[name] = rows
        if options.json is not None:
            every.write(options.json, COMMAND)
        print(table(rows, case.judge.top1), end="\n\n", flush=True)
        # A net's images and outputs are not needed any more.
        for held in ("judge", "calibration"):
            vars(case).pop(held, None)


if __name__ == "__main__":
    main()
