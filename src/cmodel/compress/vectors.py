"""Vector quantization: codebooks for blocks of rows, and how a tensor is cut into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel import _vectors
from cmodel.compress.values import nearest_divisor
from cmodel.errors import RecipeError
from cmodel.net import Layer
from cmodel.tensors import FloatArray, Form, IntArray, Product, Shape

# A codebook is trained on at most so many vectors for each codeword, as more hardly change it.
SAMPLES = 256
# Codewords that move less have settled: their squared moves against the variance of the points.
TOLERANCE = 1e-4
ALONG = ("channels", "row")
Codes = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Layout:
    """How a tensor becomes rows of blocks: `Product`'s axes, and the width D of a row."""

    shape: Shape
    axes: tuple[int, ...]
    width: int

    def rows(self, weights: FloatArray) -> FloatArray:
        """Return the (V, D) matrix of a tensor."""
        return np.ascontiguousarray(weights.transpose(self.axes)).reshape(-1, self.width)

    def product(
        self, codebooks: Form, codes: IntArray, rotation: FloatArray | None = None
    ) -> Product:
        """Return the form with these codebooks (a form (T, C, K, d)) and codes (T, V, S)."""
        return Product(self.shape, self.axes, codebooks, codes, rotation)


def layout_of(layer: Layer, name: str, shape: Shape, along: str, dimension: int) -> Layout:
    """Return the rows that blocks of `dimension` are cut from.

    "channels": a row is the input channels at one place of a kernel; for InnerProduct all inputs.
    "row": a row is all that one output has, in the order of the weights.

    Raises
    ------
    RecipeError : the dimension does not divide a row.
    """
    axes = tuple(range(len(shape)))
    what = "weights of an output"
    if layer.type == "InnerProduct" and layer.param.inner_product_param.transpose:
        axes = (1, 0)
    elif along == "channels" and len(shape) > 2:
        axes = (0, *axes[2:], 1)
        what = "input channels"
    if along == "channels":
        width = shape[axes[-1]] if shape else 1
    else:
        width = prod(shape[axis] for axis in axes[1:])
    if width % dimension:
        nearest = nearest_divisor(width, dimension)
        other = ', or along = "row"' if what == "input channels" else ""
        raise RecipeError(
            f"dimension {dimension} does not divide the {width:,} {what} of `{name}`",
            hint=f"dimension = {nearest} does{other}; options may be given by layer name",
        )
    return Layout(shape, axes, width)


def code_type(entries: int) -> np.dtype[Any]:
    """Return the type of codes for a codebook."""
    return np.dtype(np.uint8 if entries <= 256 else np.uint16)


def cluster(
    sets: Sequence[Callable[[], FloatArray]],
    k: int,
    iterations: int,
    rng: np.random.Generator,
    threads: int,
    starts: FloatArray | None = None,
) -> list[tuple[FloatArray, Codes]]:
    """Return for each set of points (n, d) at most k codewords and the code of each point.

    Where there are no more than k different points the codewords are these, else the result of
    Lloyd's algorithm from random points, or from `starts` (sets, k, d). Several sets are shared
    out over the threads, one at a time each: these do not wait for each other, and the results do
    not depend on their number.
    """
    seeds = rng.integers(1 << 31, size=len(sets)).tolist()

    def one(i: int) -> tuple[FloatArray, Codes]:
        start = None if starts is None else starts[i]
        return _cluster(sets[i](), k, iterations, seeds[i], start, threads if alone else 1)

    alone = len(sets) == 1
    if alone or threads == 1:
        return [one(i) for i in range(len(sets))]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(len(sets))))


def _cluster(
    points: FloatArray,
    k: int,
    iterations: int,
    seed: int,
    start: FloatArray | None,
    threads: int,
) -> tuple[FloatArray, Codes]:
    if not _more_distinct(points, k):
        words, codes = np.unique(points + np.float32(0), axis=0, return_inverse=True)
        return words, codes.reshape(-1).astype(code_type(len(words)))
    rng = np.random.default_rng(seed)
    whole = len(points) <= SAMPLES * k
    sample = points
    if not whole:
        sample = points[np.sort(rng.choice(len(points), SAMPLES * k, replace=False))]
    if start is None:
        start = sample[rng.choice(len(sample), k, replace=False)]
    tol = TOLERANCE * float(sample.var(axis=0).mean())
    words, codes, _ = _vectors.lloyd(sample, start, iterations, tol)
    if not whole:
        parts = np.array_split(points, threads)
        with ThreadPoolExecutor(threads) as pool:
            codes = np.concatenate(list(pool.map(partial(_vectors.nearest, words=words), parts)))
    return words + np.float32(0), codes.astype(code_type(len(words)))


def _more_distinct(points: FloatArray, k: int) -> bool:
    if len(points) <= k:
        return False
    # One coordinate is quick to look at and mostly settles it.
    if len(np.unique(points[: 64 * k, 0])) > k:
        return True
    return len(np.unique(points, axis=0)) > k


def cluster_blocks(
    rows: FloatArray,
    dimension: int,
    k: int,
    shared: bool,
    iterations: int,
    rng: np.random.Generator,
    threads: int,
    starts: FloatArray | None = None,
) -> tuple[FloatArray, Codes]:
    """Return codebooks (C, K, d) and codes (V, S) for the blocks of rows (V, D).

    C is 1 where all blocks share a codebook, else S = D / d. A codebook with fewer codewords than
    the largest is filled up with zeros. `starts` are codebooks to begin with.
    """
    vectors, width = rows.shape
    blocks = width // dimension

    def block(i: int) -> FloatArray:
        return np.ascontiguousarray(rows[:, i * dimension : (i + 1) * dimension])

    if shared:
        sets = [lambda: rows.reshape(-1, dimension)]
    else:
        sets = [partial(block, i) for i in range(blocks)]
    found = cluster(sets, k, iterations, rng, threads, starts)
    entries = max(len(words) for words, _ in found)
    codebooks = np.zeros((len(found), entries, dimension), np.float32)
    codes = np.empty((vectors, blocks), code_type(entries))
    for i, (words, numbers) in enumerate(found):
        codebooks[i, : len(words)] = words
        codes[:, slice(None) if shared else slice(i, i + 1)] = numbers.reshape(vectors, -1)
    return codebooks, codes


def decoded(codebooks: FloatArray, codes: Codes) -> FloatArray:
    """Return the rows (V, D) that codebooks (C, K, d) and codes (V, S) stand for."""
    blocks = codes.shape[1]
    book = np.arange(blocks) if len(codebooks) > 1 else np.zeros(blocks, np.intp)
    taken: FloatArray = codebooks[book, codes]
    return taken.reshape(len(codes), -1)
