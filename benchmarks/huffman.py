"""Huffman coding beside zstandard, on k-means indices of Gaussian weights.

Prints million symbols per second on one core, medians of interleaved runs, with the streams' sizes.
Both decoders allocate their output at each run, and both outputs are compared with the indices.

    python benchmarks/huffman.py [--count 10000000] [--k 32] [--runs 11]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import zstandard

from cmodel import _kmeans, _simd
from cmodel.codecs import huffman


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--runs", type=int, default=11)
    arguments = parser.parse_args()
    count, k = arguments.count, arguments.k

    values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    ordered = _kmeans.sort_float32(values)
    centroids, _ = _kmeans.lloyd(ordered, np.linspace(ordered[0], ordered[-1], k))
    indices = _kmeans.assign(values, centroids)

    ours = huffman.encode(indices)
    theirs = zstandard.ZstdCompressor(level=3).compress(indices.tobytes())
    if not np.array_equal(huffman.decode(ours, count, indices.dtype), indices):
        raise SystemExit("the Huffman stream does not decode to the indices")
    if zstandard.ZstdDecompressor().decompress(theirs) != indices.tobytes():
        raise SystemExit("the zstandard stream does not decode to the indices")

    runs: dict[str, Callable[[], object]] = {
        "cmodel decode": lambda: huffman.decode(ours, count, indices.dtype),
        "zstandard -3 decode": lambda: zstandard.ZstdDecompressor().decompress(theirs),
        "cmodel encode": lambda: huffman.encode(indices),
        "zstandard -3 encode": lambda: zstandard.ZstdCompressor(level=3).compress(indices.data),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.runs):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)

    print(f"{count} indices of k = {k} centroids, SIMD level {_simd.level()}, one thread")
    for name, coded in (("cmodel", ours), ("zstandard -3", theirs)):
        print(f"{name:22}{8 * len(coded) / count:9.3f} bits per index")
    for name, times in seconds.items():
        print(f"{name:22}{count / statistics.median(times) / 1e6:9.0f} M symbols/s")


if __name__ == "__main__":
    main()
