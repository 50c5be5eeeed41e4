"""What scale-out costs: a piece by itself, a setting of a sweep, an image of eval.

    CMODEL_DATA=../shared python benchmarks/scaleout.py [--images N]

Needs the extra `dask`. Starts a scheduler and workers on the loopback, one thread each, and stops
them. Of several runs the quickest counts: others use the machine too.
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
PIECES = 1000
RUNS = 3
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
def cluster(workers: int) -> Iterator[Executor]:
    """Start a scheduler and so many workers; give an executor on them."""
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
                yield executor
        finally:
            for process in started:
                process.kill()
                process.wait()


def seconds_of(executor: Executor, name: str, images: int) -> tuple[float, float]:
    """Return wall seconds of an eval, and those of running the net in them."""
    net = {key: str(value) for key, value in NETS[name].items()}
    words = [net.pop("prototxt")]
    for key, value in net.items():
        words += [f"--{key.replace('_', '-')}", value]
    words += ["--limit", str(images), "--threads", "1", "--batch", "50"]
    found = evaluate_by(executor, parse(["eval", *words]), Terminal(verbosity=-1), lambda *_: None)
    return found.seconds, found.engine_seconds


def settings(folder: Path, images: int) -> None:
    """Print the parts of one setting of a sweep."""
    print("\none setting of a sweep, one thread, seconds (quickest of 3 settings)")
    print("net         images  whole  compress  decode  judge")
    for name, facts in NETS.items():
        lines = [f'name = "{name}"', "trained = true", f"limit = {images}"]
        lines += [
            f"{key} = [{value}]" if key in ("scale", "mean_value") else f'{key} = "{value}"'
            for key, value in facts.items()
        ]
        grid = folder / f"{name}.toml"
        method = '[[method]]\n[[method.step]]\nmethod = "quantize.kmeans"\nk = [15, 16, 17]\n'
        grid.write_text("[[net]]\n" + "\n".join(lines) + f"\n{method}")
        marks = [time.perf_counter()]

        def mark(event: object, marks: list[float] = marks) -> None:
            if getattr(event, "row", None) is not None:
                marks.append(time.perf_counter())

        rows = sweep(load_grid(grid), folder / f"{name}.jsonl", threads=1, on_progress=mark)
        whole = min(b - a for a, b in pairwise(marks[1:]))
        parts = ("compress", "decode", "eval")
        cells = [f"{min(row[f'{part}_seconds'] for row in rows):8.3f}" for part in parts]
        print(f"{name:10} {rows[0]['images']:7} {whole:6.2f} {'  '.join(cells)}")
        print(f"           the original first: {marks[1] - marks[0] - whole:.2f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    images = parser.parse_args().images
    here = {}
    print("eval here, one thread (quickest of 3)")
    for name in NETS:
        with Local() as executor:
            here[name] = min(seconds_of(executor, name, images) for _ in range(RUNS))
        each = [f"{1e3 * seconds / images:.3f} ms" for seconds in here[name]]
        print(f"{name:10} {each[0]} an image, {each[1]} of it in the engine", flush=True)
    for workers in (1, 2):
        with cluster(workers) as executor:
            best = float("inf")
            for _ in range(RUNS):
                start = time.perf_counter()
                executor.ordered(nothing, [{}] * PIECES)
                best = min(best, time.perf_counter() - start)
            each_piece = 1e3 * best / PIECES
            print(f"\n{workers} worker(s): {each_piece:.2f} ms a piece of nothing, {PIECES} pieces")
            for name in NETS:
                wall = min(seconds_of(executor, name, images)[0] for _ in range(RUNS))
                print(f"  eval {name:10} {wall:7.2f} s, here {here[name][0]:7.2f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        settings(Path(folder), images)


if __name__ == "__main__":
    main()
