"""From Gaussian weights to a Huffman stream, and k-means of vectors, on one core.

The peer is scikit-learn's KMeans (Lloyd, from the same centroids, as many iterations at most, one
thread), on a subsample: its time is given for the subsample and per million values. Vectors are
clustered by both in turn, as often as --runs says; medians.

    python benchmarks/kmeans.py [--count 10000000] [--k 32] [--iterations 50] [--peer 500000]
                                [--runs 5]
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import pairwise

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from cmodel import _kmeans, _simd, _vectors
from cmodel.codecs import huffman


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--peer", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    count, k = arguments.count, arguments.k

    values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    print(f"{count} Gaussian weights, k = {k}, SIMD level {_simd.level()}, one thread")

    marks = [("start", time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    ordered = _kmeans.sort_float32(values)
    mark("sort")
    start = np.linspace(ordered[0], ordered[-1], k)
    centroids, iterations = _kmeans.lloyd(ordered, start, arguments.iterations)
    mark(f"Lloyd, {iterations} iterations")
    indices = _kmeans.assign(values, centroids)
    mark("assign")
    coded = huffman.encode(indices)
    mark("Huffman encode")
    for (_, before), (name, after) in pairwise(marks):
        print(f"{name:28}{after - before:8.3f} s")
    total = marks[-1][1] - marks[0][1]
    error = float(np.square(centroids[indices] - values, dtype=np.float64).mean())
    print(f"{'in all':28}{total:8.3f} s   {8 * len(coded) / count:.3f} bits per weight")
    print(f"{'mean squared error':28}{error:12.3e}")

    begin = time.perf_counter()
    best = _kmeans.exact(ordered, k)
    seconds = time.perf_counter() - begin
    error = float(np.square(best[_kmeans.assign(values, best)] - values, dtype=np.float64).mean())
    print(f"{'exact k-means instead':28}{seconds:8.3f} s   mean squared error {error:.3e}")

    part = values[: arguments.peer]
    model = KMeans(
        k,
        init=np.linspace(part.min(), part.max(), k)[:, None],
        n_init=1,
        max_iter=arguments.iterations,
        tol=0,
        algorithm="lloyd",
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin = time.perf_counter()
        model.fit(part[:, None])
        seconds = time.perf_counter() - begin
    print(
        f"scikit-learn KMeans on {part.size} of them: {seconds:.3f} s, {model.n_iter_} iterations, "
        f"{seconds / part.size * 1e6:.3f} s per million values"
    )
    begin = time.perf_counter()
    ordered = _kmeans.sort_float32(part)
    centroids, iterations = _kmeans.lloyd(
        ordered, np.linspace(ordered[0], ordered[-1], k), arguments.iterations
    )
    _kmeans.assign(part, centroids)
    seconds = time.perf_counter() - begin
    print(f"cmodel on the same: {seconds:.3f} s, {iterations} iterations")
    for shape in ((4096, 8, 256), (4096, 2, 64), (65536, 8, 256)):
        print(vectors(*shape, arguments.runs))


def vectors(n: int, d: int, k: int, runs: int) -> str:
    """Return a line on n points of d numbers and k codewords, 25 iterations at most."""
    points = np.random.default_rng(0).standard_normal((n, d), np.float32)
    start = points[np.random.default_rng(1).choice(n, k, replace=False)]
    tol = 1e-4 * float(points.var(axis=0).mean())  # that of scikit-learn
    peer, ours = [], []
    error = inertia = 0.0
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(runs):
            begin = time.perf_counter()
            inertia = KMeans(k, init=start, n_init=1, max_iter=25).fit(points).inertia_ / n
            peer.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            words, codes, _ = _vectors.lloyd(points, start, 25, tol)
            ours.append(time.perf_counter() - begin)
            error = float(np.square(words[codes] - points, dtype=np.float64).sum()) / n
    other, own = float(np.median(peer)), float(np.median(ours))
    return (
        f"{n} vectors of {d}, k = {k}: scikit-learn {1e3 * other:.1f} ms (error {inertia:.4f}), "
        f"cmodel {1e3 * own:.1f} ms (error {error:.4f}): {other / own:.1f}x"
    )


if __name__ == "__main__":
    main()
