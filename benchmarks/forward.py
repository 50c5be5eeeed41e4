"""Forward passes: the engine's kernels, exact and fast, beside the same engine on BLAS, in one run.

    python benchmarks/forward.py [NET ...] [--batch 1] [--threads 1] [--repeats 7] [--cpu]

NET: a name of benchmarks/nets (default: all), with random weights. The three engines take turns;
the shortest and the median time of each are given, ratios are of the shortest. GFLOP/s count the
multiplications and additions of convolutions and inner products as the plain sums need them, and
stand beside those of the inner kernel on data in the first-level cache, measured in the same run.
--cpu takes the time of the calling thread, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from math import prod
from unittest import mock

import numpy as np
from make_net import NETS, random_net
from numpy.typing import NDArray

from cmodel import _engine, _simd
from cmodel.engine import Engine
from cmodel.net import Net, infer_shapes

Feed = dict[str, NDArray[np.float32]]


def multiply_adds(net: Net, feed: Feed) -> int:
    """Count those of convolutions and inner products for what is fed."""
    shapes = infer_shapes(net, {name: array.shape for name, array in feed.items()})
    total = 0
    for layer in net.layers:
        if layer.type in ("Convolution", "InnerProduct"):
            weights = net.parameters.shape(layer.parameters[0])
            (top,) = shapes.tops[layer.key]
            total += prod(top or ()) * prod(weights[1:])
    return total


def engines(net: Net, threads: int, feed: Feed) -> dict[str, Engine]:
    """Return what runs the net, by name, planned for what is fed."""
    made = {
        "BLAS": Engine(net, threads),
        "exact": Engine(net, threads),
        "fast": Engine(net, threads, "fast"),
    }
    for name, engine in made.items():
        # Kernels are chosen at the first run.
        own = name != "BLAS" and _engine.available()
        with mock.patch.object(_engine, "available", return_value=own):
            engine.run(feed)
    return made


def inner_kernel(clock: Callable[[], float]) -> float:
    """Return the GFLOP/s of the inner kernel."""
    times = []
    for _ in range(20):
        begin = clock()
        operations = _engine.run_inner_kernel(2000)
        times.append(clock() - begin)
    return operations / min(times) / 1e9


def measure(name: str, batch: int, threads: int, repeats: int, clock: Callable[[], float]) -> None:
    """Print the times of one net."""
    net = random_net(name)
    rng = np.random.default_rng(1)
    feed = {
        blob: rng.standard_normal((batch, *(shape or ())[1:])).astype(np.float32)
        for blob, shape in net.inputs.items()
    }
    made = engines(net, threads, feed)
    times: dict[str, list[float]] = {key: [] for key in made}
    for _ in range(repeats):
        for key, engine in made.items():
            begin = clock()
            engine.run(feed)
            times[key].append(clock() - begin)
    operations = 2 * multiply_adds(net, feed)
    base = min(times["BLAS"])
    for key, values in times.items():
        best = min(values)
        print(
            f"{name:18}{batch:4}{threads:3}  {key:6}{1e3 * best:10.3f}"
            f"{1e3 * np.median(values):10.3f}{base / best:8.2f}{operations / best / 1e9:9.1f}"
        )


def main() -> None:
    """Measure the nets asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = sorted(path.stem for path in NETS.glob("*.prototxt"))
    parser.add_argument("nets", nargs="*", metavar="NET")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    if options.cpu and options.threads > 1:
        parser.error("--cpu knows the calling thread only: --threads 1")
    clock = time.thread_time if options.cpu else time.perf_counter
    print(f"SIMD level {_simd.level()}, inner kernel {inner_kernel(clock):.1f} GFLOP/s on one core")
    print(
        f"{'net':18}{'b':>4}{'t':>3}  {'':6}{'min ms':>10}{'median':>10}{'ratio':>8}{'GFLOP/s':>9}"
    )
    for name in options.nets or known:
        measure(name, options.batch, options.threads, options.repeats, clock)


if __name__ == "__main__":
    main()
