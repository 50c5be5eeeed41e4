"""Huffman and rANS coding beside zstandard, on k-means indices of Gaussian weights.

Prints million symbols per second, medians of interleaved runs, with the streams' sizes beside the
entropy. All decoders allocate their output at each run, and all outputs are compared with the
indices. CMODEL_SIMD=scalar shows what the instructions of the machine are worth.

    python benchmarks/entropy.py [--count 10000000] [--k 32] [--runs 11]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from cmodel import _kmeans, _simd
from cmodel.codecs import huffman, rans


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

    coded = {
        "huffman": huffman.encode(indices),
        "rans": rans.encode(indices),
        "zstandard -3": zstandard.ZstdCompressor(level=3).compress(indices.tobytes()),
    }
    decoders: dict[str, Callable[[int], NDArray[Any] | bytes]] = {
        "huffman": lambda n: huffman.decode(coded["huffman"], count, indices.dtype, n),
        "rans": lambda n: rans.decode(coded["rans"], count, indices.dtype, n),
        "zstandard -3": lambda _: zstandard.ZstdDecompressor().decompress(coded["zstandard -3"]),
    }
    encoders: dict[str, Callable[[], bytes]] = {
        "huffman": lambda: huffman.encode(indices),
        "rans": lambda: rans.encode(indices),
        "zstandard -3": lambda: zstandard.ZstdCompressor(level=3).compress(indices.data),
    }
    runs: dict[str, Callable[[], object]] = {}
    for name, decode in decoders.items():
        if bytes(decode(1)) != indices.tobytes():
            raise SystemExit(f"the {name} stream does not decode to the indices")
        runs[f"{name} decode"] = partial(decode, 1)
        if name != "zstandard -3":
            runs[f"{name} decode, 2 threads"] = partial(decode, 2)
    for name, encode in encoders.items():
        runs[f"{name} encode"] = encode
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.runs):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)

    print(f"{count} indices of k = {k} centroids, SIMD level {_simd.level()}")
    shares = np.bincount(indices) / count
    shares = shares[shares > 0]
    print(f"{'entropy':28}{-(shares * np.log2(shares)).sum():9.3f} bits per index")
    for name, data in coded.items():
        print(f"{name:28}{8 * len(data) / count:9.3f} bits per index")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        peer = medians[f"zstandard -3 {'encode' if 'encode' in name else 'decode'}"]
        print(f"{name:28}{count / median / 1e6:9.0f} M symbols/s {peer / median:7.2f} x zstandard")


if __name__ == "__main__":
    main()
