"""The engine beside other engines: one net, one batch size, one thread count at a time.

    python benchmarks/peers.py [--net lenet,deploy.prototxt:weights.caffemodel] [--batch 1,16]
        [--threads 1,2] [--math exact,fast] [--engines onnxruntime,ncnn] [--seconds 20] [--json]
        [--keep]

Every engine lives in a process of its own, loads the net once and runs in turns: A B C, B C A, ...
A turn is 50 ms of runs, after one that is not timed where runs are short; its time is their median.
Whoever is not at turn is stopped (SIGSTOP), so that threads which spin disturb nobody. Times are
wall time around a call that takes a NumPy array and returns one; cpu_ms is the CPU time of the
process, which other load on the machine changes less.

All have the same weights. OpenCV and this package read Caffe's files. The others read the ONNX file
of `cmodel export`, with BatchNorm and Scale folded before it, which not all of them can do
themselves, and its opset declared as 13, the newest that all of them know. All compute in float32.
max_error is the largest difference from the outputs of PyTorch in float64, over their largest
magnitude; whose error is over 1e-3 is no peer. A ratio is the best peer's median over ours (above
1: ours is faster), with a 95 % interval from a bootstrap over the rounds.

LiteRT is not among the peers: its converter (litert-torch 0.10) brings JAX, torchao and
transformers with it. The peers are installed into an environment of their own (--env). --keep
stores what was measured in benchmarks/results/peers.json, in place of the same net, batch and
threads there; docs/generate_performance.py makes docs/performance.md from it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from environments import environment
from make_net import NETS, make_net
from peer_process import PeerError, PeerProcess, machine
from peer_statistics import best_peer, bootstrap_ratio, relative_error

import cmodel
from cmodel.compress import compress, parse_recipe
from cmodel.interchange import export

HERE = Path(__file__).parent
STORED = HERE / "results" / "peers.json"
PEERS = ("onnxruntime", "openvino", "ncnn", "mnn", "opencv", "torch")
OURS = "cmodel-"
FOLD = '[[step]]\nmethod = "fold.batchnorm"\nrequired = false\n'
OPSET, IR_VERSION = 13, 8
TURN_SECONDS = 0.05
MIN_ROUNDS, MAX_ROUNDS = 7, 300
LARGEST_ERROR = 1e-3
CELL = ("net", "batch", "threads")


@dataclass
class Result:
    """What was measured; `missing` names who was not, and why."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def prepare(spec: str, folder: Path) -> tuple[str, tuple[int, ...]]:
    """Put the files of a net into a folder; return its name and the shape of its input."""
    prototxt, _, weights = spec.partition(":")
    if weights:
        (folder / "deploy.prototxt").symlink_to(Path(prototxt).resolve())
        (folder / "weights.caffemodel").symlink_to(Path(weights).resolve())
        name = Path(prototxt).resolve().parent.name
    else:
        make_net(spec, folder)
        name = spec
    net = cmodel.load(folder / "deploy.prototxt", folder / "weights.caffemodel")
    (shape,) = net.inputs.values()
    if shape is None:
        raise SystemExit(f"{spec}: the net has to declare the shape of its input")
    export(compress(net, parse_recipe(FOLD, "fold")), folder / "model.onnx")
    declare_opset(folder / "model.onnx")
    return name, shape


def declare_opset(path: Path) -> None:
    """Declare an older opset: what the operators of these nets do is the same in it.

    That it is shows in the outputs, which are compared.
    """
    import onnx

    model = onnx.load(path)
    model.opset_import[0].version, model.ir_version = OPSET, IR_VERSION
    onnx.save(model, path)


def interleave(
    processes: Mapping[str, PeerProcess], seconds: float
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, str]]:
    """Let all take turns for so long; return wall and CPU seconds by round, and who failed."""
    alive = dict(processes)
    wall: dict[str, list[float]] = {name: [] for name in alive}
    cpu: dict[str, list[float]] = {name: [] for name in alive}
    failed: dict[str, str] = {}
    start, rounds = time.perf_counter(), 0
    while alive and rounds < MAX_ROUNDS:
        if rounds >= MIN_ROUNDS and time.perf_counter() - start >= seconds:
            break
        names = list(alive)
        first = rounds % len(names)
        for name in names[first:] + names[:first]:
            try:
                answer = alive[name].turn(TURN_SECONDS)
            except PeerError as error:
                failed[name] = str(error)
                del alive[name], wall[name], cpu[name]
                continue
            wall[name].append(answer["seconds"])
            cpu[name].append(answer["cpu_seconds"])
        rounds += 1
    return wall, cpu, failed


def summarise(
    cell: Mapping[str, Any],
    wall: Mapping[str, Sequence[float]],
    cpu: Mapping[str, Sequence[float]],
    errors: Mapping[str, float | None],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of a cell, and for each of our engines its ratio to the best peer."""
    rows = [
        {
            **cell,
            "engine": name,
            "median_ms": round(1e3 * float(np.median(seconds)), 4),
            "cpu_ms": round(1e3 * float(np.median(cpu[name])), 4),
            "max_error": None if errors[name] is None else float(f"{errors[name]:.2e}"),
            "rounds": len(seconds),
        }
        for name, seconds in wall.items()
    ]
    peers = {name: seconds for name, seconds in wall.items() if not name.startswith(OURS)}
    ratios = []
    for name in wall:
        if name.startswith(OURS) and peers:
            best = best_peer(peers)
            ratio, interval = bootstrap_ratio(peers[best], wall[name])
            cpu_ratio, _ = bootstrap_ratio(cpu[best], cpu[name])
            ratios.append(
                {
                    **cell,
                    "engine": name,
                    "best_peer": best,
                    "ratio": round(ratio, 3),
                    "interval": [round(bound, 3) for bound in interval],
                    "cpu_ratio": round(cpu_ratio, 3),
                }
            )
    return rows, ratios


def check_outputs(
    folder: Path, names: Sequence[str], reference: Path | None
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return each engine's error, and why some are no peers.

    Without a reference our exact engine is it, and has no error itself.
    """
    ours = f"{OURS}exact"
    if reference is None and ours not in names:
        return dict.fromkeys(names), {}
    expected = np.load(reference or folder / f"output-{ours}.npy")
    errors: dict[str, float | None] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            error = relative_error(np.load(folder / f"output-{name}.npy"), expected)
        except ValueError as problem:
            refused[name] = f"other outputs: {problem}"
            continue
        if not error <= LARGEST_ERROR:
            refused[name] = f"other outputs: max_error {error:.2e}"
        else:
            errors[name] = None if reference is None and name == ours else error
    return errors, refused


def measure(
    cell: Mapping[str, Any],
    folder: Path,
    names: Sequence[str],
    pythons: Mapping[str, Path],
    reference: Path | None,
    seconds: float,
    result: Result,
) -> None:
    """Measure one net with one batch size and one thread count; add it to the result."""
    processes: dict[str, PeerProcess] = {}
    reasons: dict[str, str] = {}
    try:
        # All load at the same time, and are stopped when they have.
        for name in names:
            size = cell["threads"], cell["batch"]
            processes[name] = PeerProcess(name, pythons[name], folder, *size)
        for name in names:
            try:
                result.versions[name] = processes[name].start()
            except PeerError as error:
                reasons[name] = str(error)
                processes.pop(name).close()
        errors, refused = check_outputs(folder, list(processes), reference)
        for name in refused:
            processes.pop(name).close()
        wall, cpu, failed = interleave(processes, seconds)
    finally:
        for process in processes.values():
            process.close()
    rows, ratios = summarise(cell, wall, cpu, errors)
    result.rows += rows
    result.ratios += ratios
    for name, reason in {**reasons, **refused, **failed}.items():
        result.missing.append({**cell, "engine": name, "reason": reason})


def float64_outputs(
    folder: Path, python: Path, batch: int, result: Result, cell: Mapping[str, Any]
) -> Path | None:
    """Compute what the outputs are held against; None, and a reason, where that fails."""
    process = PeerProcess("float64", python, folder, 1, batch)
    try:
        process.start()
    except PeerError as error:
        result.missing.append({**cell, "engine": "float64", "reason": str(error)})
        return None
    finally:
        process.close()
    return folder / "output-float64.npy"


def document(result: Result, seconds: float) -> dict[str, Any]:
    """Return what is printed and stored."""
    return {
        "machine": machine(),
        "versions": dict(sorted(result.versions.items())),
        "seconds": seconds,
        "rows": result.rows,
        "ratios": result.ratios,
        "missing": result.missing,
    }


def merge(old: Mapping[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the new figures, and of the old those of other cells, if of the same machine."""
    if old.get("machine") != new["machine"]:
        return new
    kinds = ("rows", "ratios", "missing")
    cells = {tuple(entry[key] for key in CELL) for kind in kinds for entry in new[kind]}
    merged = dict(new) | {"versions": {**old["versions"], **new["versions"]}}
    for kind in kinds:
        kept = [e for e in old[kind] if tuple(e[key] for key in CELL) not in cells]
        merged[kind] = kept + new[kind]
    return merged


def keep(new: dict[str, Any], path: Path = STORED) -> None:
    """Store figures beside those of other cells that are there."""
    old = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(merge(old, new), indent=1) + "\n", "utf-8")


def show(result: Result, stream: Any) -> None:
    """Print the last cell as a table."""
    last = [(result.rows or result.missing)[-1][key] for key in CELL]
    print("{}, batch {}, {} thread(s)".format(*last), file=stream)
    here = [row for row in result.rows if [row[key] for key in CELL] == last]
    for row in sorted(here, key=lambda row: row["median_ms"]):
        error = "reference" if row["max_error"] is None else f"max_error {row['max_error']:.1e}"
        times = f"{row['median_ms']:10.3f} ms {row['cpu_ms']:10.3f} ms CPU"
        print(f"  {row['engine']:14}{times}  {error}", file=stream)
    for entry in result.ratios:
        if [entry[key] for key in CELL] == last:
            low, high = entry["interval"]
            times = f"{entry['ratio']:.2f} ({low:.2f} to {high:.2f}) times as long"
            print(
                f"  {entry['best_peer']} takes {times} as {entry['engine']}, "
                f"{entry['cpu_ratio']:.2f} times the CPU time",
                file=stream,
            )
    for entry in result.missing:
        if [entry[key] for key in CELL] == last:
            print(f"  {entry['engine']}: {entry['reason']}", file=stream)


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def numbers(text: str) -> list[int]:
    values = [int(word) for word in words(text)]
    if not values or min(values) < 1:
        raise ValueError("whole numbers from 1 up")
    return values


def main() -> None:
    known = sorted(path.stem for path in NETS.glob("*.prototxt"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--net", type=words, default=known, metavar="NAME|PROTOTXT:WEIGHTS,...")
    parser.add_argument("--batch", type=numbers, default=[1])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--math", type=words, default=["exact"])
    parser.add_argument("--engines", type=words, default=list(PEERS))
    parser.add_argument("--seconds", type=float, default=20.0, help="for one cell, all engines")
    parser.add_argument("--env", type=Path, default=HERE.parent / "build" / "peers")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--keep", action="store_true", help=f"store them in {STORED.name}")
    options = parser.parse_args()
    for spec in options.net:
        if ":" not in spec and spec not in known:
            parser.error(f"no net {spec}: {', '.join(known)}, or PROTOTXT:WEIGHTS")
    for name in options.engines:
        if name not in PEERS:
            parser.error(f"no engine {name}: {', '.join(PEERS)}")

    # Engines that are stopped do not see that this process ends: it has to end them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    python = environment(options.env, HERE / "requirements-peers.txt")
    ours = [f"{OURS}{math}" for math in options.math]
    pythons = dict.fromkeys(ours, Path(sys.executable)) | dict.fromkeys(options.engines, python)
    result = Result()
    for spec in options.net:
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            name, shape = prepare(spec, folder)
            for batch in options.batch:
                x = np.random.default_rng(0).standard_normal((batch, *shape[1:]), np.float32)
                np.save(folder / "input.npy", x)
                cell = {"net": name, "batch": batch, "threads": options.threads[0]}
                reference = float64_outputs(folder, python, batch, result, cell)
                for threads in options.threads:
                    cell = {"net": name, "batch": batch, "threads": threads}
                    names = [*ours, *options.engines]
                    measure(cell, folder, names, pythons, reference, options.seconds, result)
                    show(result, sys.stderr)
                    if options.keep:
                        keep(document(result, options.seconds))
    if options.json:
        print(json.dumps(document(result, options.seconds), indent=1))


if __name__ == "__main__":
    main()
