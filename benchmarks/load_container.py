"""Loads a VGG-16-sized container (138 M weights, 5-bit codebooks) into dense float32.

    python benchmarks/load_container.py [--weights 138000000] [--runs 5]

Peer, in turn with it: `zstandard` decompressing the same index bytes and a NumPy lookup. Prints
medians, and the ratio for one thread and for all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import zstandard

from cmodel import container
from cmodel.net import Layer, Net, Parameters
from cmodel.proto import caffe_pb2
from cmodel.tensors import Codebook, Dense
from cmodel.threads import set_thread_count, thread_count


def make_net(weights: int) -> tuple[Net, np.ndarray, np.ndarray]:
    """Return a net with VGG-16's fully connected layers and the rest in one, and its indices."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal(weights, dtype=np.float32) * 5 + 16
    indices = np.clip(np.rint(drawn), 0, 31).astype(np.uint8)
    book = np.linspace(-1, 1, 32).astype(np.float32)
    parameters, layers, start = Parameters(), [], 0
    for number, share in enumerate((0.745, 0.12, 0.03, 0.105)):
        end = weights if number == 3 else start + int(share * weights)
        name = f"layer{number}"
        parameters[f"{name}/0"] = Codebook(Dense(book[None]), indices[start:end])
        param = caffe_pb2.LayerParameter(name=name, type="Any")
        layers.append(Layer(param, name, [f"{name}/0"]))
        start = end
    return Net(caffe_pb2.NetParameter(name="vgg-sized"), layers, parameters), indices, book


def main() -> None:
    """Write, then load by both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=138_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    net, indices, book = make_net(options.weights)
    packed = zstandard.ZstdCompressor(3).compress(indices.tobytes())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.cmodel"
        size = container.write(net, path)
        del net, indices
        print(f"{options.weights} weights: container {size} bytes, zstandard {len(packed)} bytes")

        def load(threads: int) -> float:
            set_thread_count(threads)
            start = perf_counter()
            opened = container.Container(path)
            dense = [opened.form(tensor.name).to_dense() for tensor in opened.tensors]
            seconds = perf_counter() - start
            del dense
            return seconds

        def peer() -> float:
            start = perf_counter()
            raw = zstandard.ZstdDecompressor().decompress(packed)
            dense = book[np.frombuffer(raw, np.uint8)]
            seconds = perf_counter() - start
            del dense
            return seconds

        ways: dict[str, Callable[[], float]] = {"zstandard + NumPy": peer}
        for threads in sorted({1, thread_count()}):
            ways[f"cmodel, {threads} thread(s)"] = lambda threads=threads: load(threads)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.runs):
            for name, way in ways.items():
                times[name].append(way())
        base = median(times["zstandard + NumPy"])
        for name, seconds in times.items():
            print(f"{name:24} {median(seconds):.3f} s   {base / median(seconds):.2f}x")


if __name__ == "__main__":
    main()
