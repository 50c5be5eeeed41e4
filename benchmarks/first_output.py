"""From a file to the first output: seconds and peak memory, beside other engines' dense files.

    python benchmarks/first_output.py [NET ...] [--threads 1] [--runs 5] [--peers PYTHON] [--json]

NET: a name of benchmarks/nets (default: vgg16), with random weights. Ours is packed: k-means with
256 values for convolutions and 16 for inner products. PYTHON: an interpreter that has the peers
(requirements-peers.txt); each loads its own dense file, converted before. Each run is a process of
its own; the engines take turns. Given are medians: seconds from the loaded libraries to the first
output, seconds that importing them took, and the most memory that the process had at any time.
The files are in the page cache. --json puts the figures into benchmarks/results/first_output.json,
beside those of other nets and thread counts; docs/generate_performance.py makes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from peer_worker import ENGINES, Runner

FIGURES = Path(__file__).with_name("results") / "first_output.json"
PEERS = ("onnxruntime", "openvino", "ncnn", "mnn", "opencv")
MODULES = {"opencv": "cv2", "mnn": "MNN"}
RECIPE = (
    '[[step]]\nmethod = "quantize.kmeans"\nk = 256\ninit = "linear"\ntype.InnerProduct.k = 16\n'
)
SECONDS_TO_CONVERT = 900


def packed(math: str) -> Any:
    def load(folder: Path, threads: int, batch: int) -> Runner:
        from cmodel import Engine, load

        net = load(folder / "packed.cmodel", threads=threads)
        engine = Engine(net, threads=threads, math=math)
        (feed,), (output,) = net.inputs, net.outputs
        return lambda x: engine.run({feed: x})[output]

    return load


OURS = {"packed, exact": packed("exact"), "packed, fast": packed("fast")}


def ready(folder: Path, threads: int, batch: int) -> Runner:
    """OpenVINO from its own format instead of ONNX, which it would have to convert."""
    import openvino as ov

    core, path = ov.Core(), folder / "openvino.xml"
    if not path.exists():
        model = core.read_model(folder / "model.onnx")
        model.reshape({model.input(0): [batch, *model.input(0).partial_shape[1:]]})
        ov.save_model(model, path, compress_to_fp16=False)
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(path, "CPU", settings).create_infer_request()
    return lambda x: request.infer([x], share_inputs=True)[0]


def work(name: str, folder: Path, threads: int) -> None:
    """Be the process of one run: print what it took."""
    start = time.perf_counter()
    if name in OURS:
        import cmodel.engine.plan  # noqa: F401 - what `Engine` loads
    else:
        __import__(MODULES.get(name, name))
    imported = time.perf_counter()
    x = np.load(folder / "input.npy")
    loader = OURS.get(name) or (ready if name == "openvino" else ENGINES[name][0])
    begin = time.perf_counter()
    output = np.asarray(loader(folder, threads, 1)(x)).reshape(-1)
    seconds = time.perf_counter() - begin
    # Not ru_maxrss: it begins with what the process had before it became this one.
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    facts = {"import": imported - start, "seconds": seconds, "peak": peak}
    print(json.dumps({**facts, "sum": float(np.abs(output).sum())}))


def measure(net: str, threads: int, runs: int, peers: Path | None) -> dict[str, Any]:
    """Print the lines of one net, and return what they say."""
    from peers import prepare

    import cmodel
    from cmodel.compress import parse_recipe

    engines = dict.fromkeys(OURS, Path(sys.executable))
    if peers is not None:
        engines |= dict.fromkeys(PEERS, peers)
    with tempfile.TemporaryDirectory(prefix="cmodel-first-") as name:
        folder = Path(name)
        _, shape = prepare(net, folder)
        x = np.random.default_rng(1).standard_normal((1, *shape[1:])).astype(np.float32)
        np.save(folder / "input.npy", x)
        loaded = cmodel.load(folder / "deploy.prototxt", folder / "weights.caffemodel")
        small = cmodel.compress(loaded, parse_recipe(RECIPE, "first"))
        size = cmodel.save(small, folder / "packed.cmodel")
        del loaded, small
        print(f"{net}: {size:,} bytes packed; {threads} threads, medians of {runs} runs")
        found: dict[str, list[dict[str, float]]] = {engine: [] for engine in engines}
        # Modules are compiled once, as when they are installed.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env |= {"PYTHONPYCACHEPREFIX": str(folder / "pyc")}
        for number in range(runs + 1):
            for engine, python in engines.items():
                command = [python, __file__, "--work", engine, folder, "--threads", threads]
                done = subprocess.run(
                    list(map(str, command)),
                    check=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=env,
                    timeout=SECONDS_TO_CONVERT,
                )
                # The first run converts.
                if number:
                    found[engine].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {}
    for engine, rows in found.items():
        median = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
        seconds, imports = 1e3 * median["seconds"], 1e3 * median["import"]
        print(
            f"{engine:16}{seconds:8.0f} ms   import {imports:6.0f} ms"
            f"   peak {median['peak'] / 1e6:7.0f} MB"
        )
        medians[engine] = {key: median[key] for key in ("seconds", "import", "peak")}
    return {"bytes": size, "engines": medians}


def main() -> None:
    """Measure the nets asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nets", nargs="*", metavar="NET", default=["vgg16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", type=Path, metavar="PYTHON")
    parser.add_argument("--json", action="store_true", help="keep the figures")
    parser.add_argument("--work", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], Path(options.work[1]), options.threads)
        return
    for net in options.nets:
        row = measure(net, options.threads, options.runs, options.peers)
        if options.json:
            rows = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
            rows[f"{net}, {options.threads}"] = {"net": net, "threads": options.threads, **row}
            FIGURES.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
