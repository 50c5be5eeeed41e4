"""Compiled code in many threads at once gives what it gives alone, with and without a GIL."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from cmodel import _kmeans
from cmodel.codecs import bitpack, context, huffman, mask, rans

WORKERS = 6
COUNT = 20_000


def coded(seed):
    """Return the streams of random integers and positions, each read back and compared."""
    draw = np.random.default_rng(seed)
    ints = draw.binomial(30, 0.3, COUNT).astype(np.uint8)
    positions = np.flatnonzero(draw.random(COUNT) < 0.1)
    streams = [
        huffman.encode(ints),
        rans.encode(ints),
        bitpack.encode(ints, 5),
        context.encode(ints[:4000], context.Matrix(rows=40, zero=9)),
        mask.encode(positions, 100, COUNT // 100),
    ]
    assert (huffman.decode(streams[0], COUNT, np.uint8, threads=2) == ints).all()
    assert (rans.decode(streams[1], COUNT, np.uint8, threads=2) == ints).all()
    assert (bitpack.decode(streams[2], COUNT, 5, np.uint8) == ints).all()
    assert (context.decode(streams[3], 4000, np.uint8) == ints[:4000]).all()
    assert (mask.decode(streams[4], 100, COUNT // 100, positions.size) == positions).all()
    return streams


def clustered(seed):
    """Return centroids and indices of random values."""
    values = np.random.default_rng(seed).standard_normal(COUNT).astype(np.float32)
    ordered = _kmeans.sort_float32(values)
    centroids, _ = _kmeans.lloyd(ordered, np.linspace(-2, 2, 16))
    return [centroids.tobytes(), _kmeans.assign(values, centroids).tobytes()]


def in_threads(work):
    """Return the results of all workers, which begin together."""
    begin = Barrier(WORKERS)

    def one(seed):
        begin.wait()
        return [work(seed) for _ in range(3)]

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, range(WORKERS)))


def test_coders_in_threads():
    assert in_threads(coded) == [[coded(seed)] * 3 for seed in range(WORKERS)]


def test_clustering_in_threads():
    assert in_threads(clustered) == [[clustered(seed)] * 3 for seed in range(WORKERS)]
