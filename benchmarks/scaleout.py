"""What scale-out costs: a piece by itself, a setting of a sweep, an image of eval.

    CMODEL_DATA=../shared python benchmarks/scaleout.py [--images N] [--runs N]

Needs the extra `dask`. Starts a scheduler and workers on the loopback, one thread each, and stops
them. What is done here is told in seconds of the processor, all processes of a setting together;
what workers do in seconds of the clock, the quickest of several runs: others use the machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import cmodel
from cmodel.cli import parse
from cmodel.cli.eval_command import evaluate_by
from cmodel.cli.terminal import Terminal
from cmodel.executor import Executor, Local, open_executor
from cmodel.executor.worker import nothing
from cmodel.sweep import load_grid, sweep

DATA = Path(os.environ.get("CMODEL_DATA", "../shared")).resolve() / "data"
PIECES = 500
FEW = 50
LENET = DATA / "models/lenet_bvlc"
SQUEEZE = DATA / "models/squeezenet_v1.1"
NETS = {
    "lenet": {
        "prototxt": LENET / "lenet.prototxt",
        "weights": LENET / "lenet_iter_10000.caffemodel",
        "data": DATA / "mnist/t10k-images-idx3-ubyte.gz",
        "scale": "0.00390625",
    },
    "squeezenet": {
        "prototxt": SQUEEZE / "deploy.prototxt",
        "weights": SQUEEZE / "squeezenet_v1.1_fp32.caffemodel",
        "data": DATA / "imagenet-1k-sample/list.txt",
        "root": DATA / "imagenet-1k-sample",
        "crop": "227",
        "mean_value": "104,117,123",
    },
}


@contextmanager
def cluster(workers: int) -> Iterator[tuple[Executor, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and so many workers; give an executor on them, and the processes."""
    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder) / "scheduler.json"
        options = ["--host", "127.0.0.1", "--no-dashboard"]
        path = str(Path(cmodel.__file__).resolve().parents[1])

        def start(kind: str, *words: str) -> subprocess.Popen[bytes]:
            program = f"from distributed.cli.dask_{kind} import main; main()"
            return subprocess.Popen(
                [sys.executable, "-c", program, *options, *words],
                env={**os.environ, "PYTHONPATH": path},
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        started = [start("scheduler", "--port", "0", "--scheduler-file", str(facts))]
        try:
            while not facts.exists():
                time.sleep(0.1)
            address = json.loads(facts.read_text())["address"]
            worker = (address, "--no-nanny", "--nthreads", "1")
            started += [start("worker", *worker) for _ in range(workers)]
            while True:
                executor = open_executor(address.replace("tcp", "dask"))
                if executor.width == workers:
                    break
                executor.close()
            with executor:
                yield executor, started
        finally:
            for process in started:
                process.kill()
                process.wait()


def cpu() -> float:
    """Return the seconds of the processor so far, of processes that have ended too."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def cpu_of(process: subprocess.Popen[bytes]) -> float:
    """Return the seconds of the processor that a process has taken."""
    import psutil  # comes with distributed

    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def seconds_of(executor: Executor, name: str, images: int) -> float:
    """Return the wall seconds of an eval, without loading the net here."""
    net = {key: str(value) for key, value in NETS[name].items()}
    words = [net.pop("prototxt")]
    for key, value in net.items():
        words += [f"--{key.replace('_', '-')}", value]
    words += ["--limit", str(images), "--threads", "1", "--batch", "50"]
    args = parse(["eval", *words])
    return evaluate_by(executor, args, Terminal(verbosity=-1), lambda *_: None).seconds


def settings(folder: Path, counts: dict[str, int]) -> None:
    """Print what one setting of a sweep costs, and the original before the first."""
    print("\na sweep here, one thread, seconds of the processor (least of 3 settings)")
    print("net         images  original  a setting  compress    decode      judge")
    for name, facts in NETS.items():
        lines = [f'name = "{name}"', "trained = true", f"limit = {counts[name]}"]
        lines += [
            f"{key} = [{value}]" if key in ("scale", "mean_value") else f'{key} = "{value}"'
            for key, value in facts.items()
        ]
        grid = folder / f"{name}.toml"
        method = '[[method]]\n[[method.step]]\nmethod = "quantize.kmeans"\nk = [15, 16, 17]\n'
        grid.write_text("[[net]]\n" + "\n".join(lines) + f"\n{method}")
        marks = [cpu()]

        def mark(event: object, marks: list[float] = marks) -> None:
            if getattr(event, "row", None) is not None:
                marks.append(cpu())

        rows = sweep(load_grid(grid), folder / f"{name}.jsonl", threads=1, on_progress=mark)
        whole = min(b - a for a, b in pairwise(marks[1:]))
        parts = ("compress", "decode", "eval")
        cells = [f"{min(row[f'{part}_seconds'] for row in rows):8.3f}" for part in parts]
        first = marks[1] - marks[0] - whole
        start = f"{name:10} {rows[0]['images']:7} {first:9.2f} {whole:10.2f}"
        print(f"{start}  {'  '.join(cells)}  (the parts by the clock)", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    images, runs = args.images, args.runs
    counts = {"lenet": 10_000, "squeezenet": images}
    wall = {}
    print("eval here, one thread")
    for name in NETS:
        with Local() as executor:
            seconds_of(executor, name, FEW)
            start = cpu()
            wall[name] = seconds_of(executor, name, counts[name])
            each = 1e3 * (cpu() - start) / counts[name]
            print(f"{name:10} {each:.3f} ms of the processor an image, net and data loaded in it")
            again = [seconds_of(executor, name, counts[name]) for _ in range(runs - 1)]
            wall[name] = min(wall[name], *again)
            print(f"           {1e3 * wall[name] / counts[name]:.3f} ms by the clock", flush=True)
    for workers in (1, 2):
        with cluster(workers) as (executor, processes):
            best = float("inf")
            before = [cpu(), *map(cpu_of, processes)]
            for _ in range(runs):
                start = time.perf_counter()
                executor.ordered(nothing, [{}] * PIECES)
                best = min(best, time.perf_counter() - start)
            after = [cpu(), *map(cpu_of, processes)]
            used = [1e3 * (b - a) / PIECES / runs for a, b in zip(before, after, strict=True)]
            each = 1e3 * best / PIECES
            print(f"\n{workers} worker(s), {PIECES} pieces of nothing: {each:.2f} ms each")
            print(f"  of the processor: caller {used[0]:.2f}, scheduler {used[1]:.2f}, ", end="")
            print(f"workers {sum(used[2:]):.2f} ms each")
            for name in NETS:
                there = min(seconds_of(executor, name, counts[name]) for _ in range(runs))
                print(f"  eval {name:10} {there:7.2f} s, here {wall[name]:7.2f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        settings(Path(folder), counts)


if __name__ == "__main__":
    main()
