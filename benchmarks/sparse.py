"""Forward passes on pruned weights: as they are stored, and made dense, in one run.

    python benchmarks/sparse.py [NET ...] [--density 0.1] [--block 1] [--entries 0] [--batch 1]
        [--threads 1] [--repeats 9] [--math exact] [--cpu] [--layers]
    python benchmarks/sparse.py PROTOTXT --weights CAFFEMODEL [...]

NET: a name of benchmarks/nets (default: four of them) whose random weights are pruned at random;
with --weights the weights of a file, whose zeros are what is pruned. --block 4 keeps or drops four
outputs together at each column; --entries rounds to so many values, of which the indices are stored
(--density 1: nothing is pruned). The first convolution, which reads three
channels, stays dense. Both engines take turns; medians, and the median of the ratios of each turn.
The results are compared too. --layers names how each layer with weights is computed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from make_net import random_net
from numpy.typing import NDArray

from cmodel import _simd
from cmodel.caffe import load_net
from cmodel.engine import Engine
from cmodel.engine.ops.op import NativeKernel
from cmodel.net import Net, Parameters
from cmodel.tensors import Codebook, Dense, Form, Sparse

DEFAULT = ("squeezenet_v1.1", "resnet50", "caffenet", "vgg16")


def share(values: NDArray[np.float32], entries: int) -> Form:
    """Round to the nearest of some values, evenly spaced; 0: leave as they are."""
    if not entries:
        return Dense(values)
    centroids = np.linspace(values.min(), values.max(), entries, dtype=np.float32)
    step = centroids[1] - centroids[0]
    indices = np.rint((values - centroids[0]) / step).clip(0, entries - 1).astype(np.uint8)
    return Codebook(Dense(centroids[None]), indices)


def compress(
    values: NDArray[np.float32], density: float, block: int, entries: int, seed: int
) -> Form:
    """Keep a part, chosen at random, of the blocks of `block` rows; share the values."""
    if density == 1:
        return share(values, entries)
    rows = len(values)
    height = block if rows % block == 0 else 1
    grid = values.size // height
    rng = np.random.default_rng(seed)
    positions = np.flatnonzero(rng.random(grid, np.float32) < density).astype(np.int64)
    if not positions.size:
        return Dense(values)
    blocks = values.reshape(rows // height, height, -1).transpose(0, 2, 1).reshape(-1, height)
    kept = np.ascontiguousarray(blocks[positions]).reshape(-1) / np.float32(np.sqrt(density))
    return Sparse(values.shape, positions, share(kept, entries), (height, 1))


def pruned_net(name: str, density: float, block: int, entries: int) -> Net:
    """Return a net of benchmarks/nets with random weights, compressed."""
    net = random_net(name)
    for number, layer in enumerate(net.layers):
        if layer.type not in ("Convolution", "InnerProduct"):
            continue
        weights = layer.parameters[0]
        values = net.parameters[weights].to_dense()
        if values.shape[1] > 3:
            net.parameters[weights] = compress(values, density, block, entries, number)
    return net


def stored_net(prototxt: Path, weights: Path) -> Net:
    """Return a net whose zeros are not stored."""
    net = load_net(prototxt, weights)
    forms = []
    for name in net.parameters:
        values = net.parameters[name].to_dense()
        positions = np.flatnonzero(values).astype(np.int64)
        form: Form = Dense(values)
        if values.ndim > 1 and positions.size:
            form = Sparse(values.shape, positions, Dense(values.reshape(-1)[positions]))
        forms.append((name, form))
    return replace(net, parameters=Parameters(forms))


def made_dense(net: Net) -> Net:
    """Return the same net with dense weights."""
    forms = [(name, Dense(net.parameters[name].to_dense())) for name in net.parameters]
    return replace(net, parameters=Parameters(forms))


def describe(engine: Engine) -> None:
    """Print how each layer with weights is computed."""
    for stage in engine._stages:
        for kernel in stage.plan.kernels if stage.plan else ():
            if isinstance(kernel, NativeKernel):
                print(f"    {type(kernel.layer).__name__}")


def measure(name: str, options: argparse.Namespace, clock: Callable[[], float]) -> None:
    """Print the times of one net."""
    if options.weights:
        net, title = stored_net(Path(name), options.weights), options.weights.stem
    else:
        net, title = pruned_net(name, options.density, options.block, options.entries), name
    rng = np.random.default_rng(1)
    feed = {
        blob: rng.standard_normal((options.batch, *(shape or ())[1:])).astype(np.float32)
        for blob, shape in net.inputs.items()
    }
    made = {
        "dense": Engine(made_dense(net), options.threads, options.math, compressed=False),
        "sparse": Engine(net, options.threads, options.math),
    }
    # Kernels are chosen, and weights packed, at the first run.
    results = {key: engine.run(feed) for key, engine in made.items()}
    error = max(
        float(np.abs(results["sparse"][blob] - values).max() / np.abs(values).max())
        for blob, values in results["dense"].items()
    )
    times: dict[str, list[float]] = {key: [] for key in made}
    for _ in range(options.repeats):
        for key, engine in made.items():
            begin = clock()
            engine.run(feed)
            times[key].append(clock() - begin)
    dense, sparse = (np.array(times[key]) for key in ("dense", "sparse"))
    print(
        f"{title:18}{options.batch:4}{options.threads:3}{1e3 * np.median(dense):11.3f}"
        f"{1e3 * np.median(sparse):11.3f}{np.median(dense / sparse):8.2f}{error:10.1e}",
        flush=True,
    )
    if options.layers:
        describe(made["sparse"])


def main() -> None:
    """Measure the nets asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("nets", nargs="*", metavar="NET")
    parser.add_argument("--weights", type=Path, metavar="CAFFEMODEL")
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--block", type=int, default=1, choices=(1, 4))
    parser.add_argument("--entries", type=int, default=0, choices=(0, *range(2, 257)), metavar="N")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--math", default="exact", choices=("exact", "fast"))
    parser.add_argument("--cpu", action="store_true", help="time of the calling thread")
    parser.add_argument("--layers", action="store_true")
    options = parser.parse_args()
    if options.cpu and options.threads > 1:
        parser.error("--cpu knows the calling thread only: --threads 1")
    clock = time.thread_time if options.cpu else time.perf_counter
    print(f"SIMD level {_simd.level()}, density {options.density}, blocks of {options.block} x 1")
    print(f"{'net':18}{'b':>4}{'t':>3}{'dense ms':>11}{'sparse ms':>11}{'ratio':>8}{'error':>10}")
    for name in options.nets or DEFAULT:
        measure(name, options, clock)


if __name__ == "__main__":
    main()
