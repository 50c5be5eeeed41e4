"""Forward passes with 8-bit integers beside float32, and beside onnxruntime and openvino.

    python benchmarks/int8.py [NET ...] [--batch 1] [--threads 1] [--seconds 20] [--peers PYTHON]

NET: a name of benchmarks/nets (default: squeezenet_v1.1, resnet50, vgg16), with random weights;
calibrated on the one input of random numbers. PYTHON: an interpreter that has onnxruntime, onnx and
openvino (requirements-peers.txt). Each engine has a process of its own; they take turns, each is
stopped meanwhile, and the medians over the turns of wall and CPU time are given; ratios are of CPU
time, to our float32.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from peer_process import PeerError, PeerProcess
from peers import interleave, prepare

import cmodel

NETS = ("squeezenet_v1.1", "resnet50", "vgg16")
QUANTIZE = Path(__file__).with_name("int8_onnx.py")
FLOAT, INT8 = "cmodel-fast", "cmodel-int8"
PEERS = ("onnxruntime", "openvino")
SECONDS_TO_QUANTIZE = 900


def make_files(net: str, batch: int, peers: Path | None, folder: Path) -> None:
    """Put the net, the packed net, the input and what the peers load into a folder."""
    _, shape = prepare(net, folder)
    x = np.random.default_rng(1).standard_normal((batch, *shape[1:])).astype(np.float32)
    np.save(folder / "input.npy", x)
    loaded = cmodel.load(folder / "deploy.prototxt", folder / "weights.caffemodel")
    cmodel.save(cmodel.compress(loaded, "int8", data=x), folder / "packed.cmodel")
    if peers is not None:
        inner = folder / "peers"
        inner.mkdir()
        np.save(inner / "input.npy", x)
        command = [peers, QUANTIZE, folder / "model.onnx", folder / "input.npy"]
        subprocess.run(
            [*map(str, command), str(inner / "model.onnx")],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS_TO_QUANTIZE,
        )


def measure(net: str, batch: int, threads: int, seconds: float, peers: Path | None) -> None:
    """Print the times of one net."""
    with tempfile.TemporaryDirectory(prefix="cmodel-int8-") as name:
        folder = Path(name)
        make_files(net, batch, peers, folder)
        places = {FLOAT: (Path(sys.executable), folder), INT8: (Path(sys.executable), folder)}
        if peers is not None:
            places |= dict.fromkeys(PEERS, (peers, folder / "peers"))
        processes = {}
        try:
            for engine, (python, place) in places.items():
                process = PeerProcess(engine, python, place, threads, batch)
                processes[engine] = process
                process.start()
            wall, cpu, failed = interleave(processes, seconds)
        finally:
            for process in processes.values():
                process.close()
        for engine, problem in failed.items():
            raise PeerError(f"{engine}: {problem}")
    base = np.median(cpu[FLOAT])
    for engine in places:
        print(
            f"{net:18}{batch:4}{threads:3}  {engine:14}{1e3 * np.median(wall[engine]):10.2f}"
            f"{1e3 * np.median(cpu[engine]):10.2f}{base / np.median(cpu[engine]):8.2f}",
            flush=True,
        )


def main() -> None:
    """Measure the nets asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("nets", nargs="*", metavar="NET", default=NETS)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--peers", type=Path, metavar="PYTHON")
    options = parser.parse_args()
    print(f"{'net':18}{'b':>4}{'t':>3}  {'engine':14}{'wall ms':>10}{'CPU ms':>10}{'ratio':>8}")
    for net in options.nets:
        measure(net, options.batch, options.threads, options.seconds, options.peers)


if __name__ == "__main__":
    main()
