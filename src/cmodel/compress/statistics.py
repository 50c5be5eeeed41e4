"""Statistics of layers' inputs over calibration images, gathered by running the net.

The weights of a layer are, for each of G groups, a matrix of R rows (outputs) and K columns; an
output is the product of its row with a *patch*: for InnerProduct the input vector, for Convolution
the (input channels / G, kernel height, kernel width) values under the kernel, in this order.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from cmodel.blas import limit_threads
from cmodel.compress.cache import Cache
from cmodel.compress.patches import blocks
from cmodel.engine import Engine
from cmodel.errors import DataError, LimitError, RecipeError
from cmodel.net import Layer, Net, Shape, Shapes, infer_shapes, unfolded
from cmodel.net.shapes.rule import text
from cmodel.tensors import Dense
from cmodel.threads import thread_count

T = TypeVar("T")
Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Most bytes of the matrices that are gathered in one pass.
MAX_BYTES = 2 << 30
# Most bytes of results that are kept for a net that comes again.
MAX_KEPT = 1 << 30
# Most images of a comparison with another net.
MAX_COMPARED = 256
_ACTIVATION_BYTES = 256 << 20
_MAX_BATCH = 64
# Largest entries of a product in float32 that has lost nothing to the ends of its range.
_LEAST, _MOST = 1e-25, 1e35
_TYPES = ("Convolution", "InnerProduct")


@dataclass(frozen=True, eq=False)
class Statistics:
    """Moments of the patches x that a layer multiplies, in the net as it stands.

    count : number of patches.
    gram : E[x xᵀ], float64 (G, K, K).
    mean : E[x], float64 (G, K).
    cross : E[y xᵀ], float64 (G, K, K), where y is the same patch in the net as it was before the
        step; None where it was not asked for.
    sensitivity : of the net's output to each of the layer's, float64 (outputs,), as
        `fisher_information` gives it; None where it was not asked for.
    fisher : of the weights' errors, its input side: float64 (G, K, K); None where it was not asked
        for or could not be had.
    """

    count: int
    gram: Doubles
    mean: Doubles
    cross: Doubles | None = None
    sensitivity: Doubles | None = None
    fisher: Doubles | None = None


class Calibration:
    """Images as they are fed: one float32 array (N, C, H, W), or batches of them.

    An iterator is read into memory; any other iterable is read anew for each pass. What was found
    out about a net is kept, up to MAX_KEPT bytes: a search asks for the same again and again.

    cache : where statistics of nets that are not compressed yet are kept for later runs.

    Raises
    ------
    DataError : there is no image, or they do not fit the net's input.
    """

    def __init__(
        self,
        net: Net,
        data: NDArray[np.floating] | Iterable[Array],
        cache: Cache | None = None,
    ) -> None:
        if not net.inputs:
            raise DataError("the net has no input to feed calibration images to")
        self.blob, self._declared = next(iter(net.inputs.items()))
        self._kept: dict[Hashable, Any] = {}
        self._room = MAX_KEPT
        self._cache = cache
        self._digest: bytes | None = None
        if isinstance(data, np.ndarray):
            self._data: Iterable[Array] = [data]
        else:
            self._data = list(data) if isinstance(data, Iterator) else data
        first = next(iter(self.batches(1)), None)
        if first is None:
            raise DataError("the calibration data holds no image")
        self.shape: Shape = first.shape[1:]

    def remembered(self, key: Hashable, size: int, compute: Callable[[], T]) -> T:
        """Return what `compute` gave for this key before, or now; it takes about `size` bytes."""
        if key in self._kept:
            return cast(T, self._kept[key])
        value = compute()
        if size <= self._room:
            self._room -= size
            self._kept[key] = value
        return value

    def stored(
        self, net: Net, key: Sequence[str], compute: Callable[[], Mapping[str, Doubles]]
    ) -> Mapping[str, Doubles]:
        """Return what `compute` gives for a net and a key, or gave in an earlier run."""
        # What is compressed differs from attempt to attempt.
        if self._cache is None or not all(
            isinstance(net.parameters[n], Dense) for n in net.parameters
        ):
            return compute()
        if self._digest is None:
            found = sha256(f"{self.blob}\0".encode())
            for array in self._data:
                values = np.ascontiguousarray(array, np.float32)
                found.update(f"{values.shape}\0".encode())
                found.update(values.reshape(-1).view(np.uint8).data)
            self._digest = found.digest()
        return self._cache.get((self._digest, digest_of(net), *map(str.encode, key)), compute)

    def batches(self, size: int, most: int | None = None) -> Iterator[Array]:
        """Yield batches of at most `size` images, float32; of the first `most` images, if given."""
        left = sys.maxsize if most is None else most
        for given in self._data:
            array = np.asarray(given)
            self._check(array)
            array = array[:left]
            left -= len(array)
            for start in range(0, len(array), size):
                batch = np.ascontiguousarray(array[start : start + size], np.float32)
                if not np.isfinite(batch).all():
                    raise DataError("the calibration data holds values that are not finite")
                yield batch
            if not left:
                break

    def _check(self, array: NDArray[np.generic]) -> None:
        if array.dtype.kind not in "fiub":
            raise DataError(f"the calibration data holds {array.dtype}, not numbers")
        declared = self._declared
        wrong = array.ndim < 1 or (
            declared is not None
            and (array.ndim != len(declared) or array.shape[1:] != declared[1:])
        )
        if wrong:
            takes = "N" + "".join(f"x{n}" for n in (declared or ())[1:])
            raise DataError(
                f"the calibration data has the shape {text(array.shape)}; "
                f"the input `{self.blob}` takes {takes}",
                hint="give the images as they are fed to the net: resized, mean subtracted, scaled",
            )


@dataclass
class _Sum:
    """What is added up for one parameter."""

    users: list[Layer]
    gram: Doubles
    mean: Doubles
    cross: Doubles | None
    count: int = 0


def size_of_gram(net: Net, name: str) -> tuple[int, int]:
    """Return the groups G and the columns K of a parameter's weights.

    Raises
    ------
    RecipeError : a layer that uses it is neither a Convolution nor an InnerProduct.
    """
    users = _users(net, name)
    layer, shape = users[0], net.parameters.shape(name)
    if layer.type == "InnerProduct":
        return 1, shape[0 if layer.param.inner_product_param.transpose else 1]
    return layer.param.convolution_param.group, prod(shape[1:])


def gather(
    net: Net,
    names: Sequence[str],
    calibration: Calibration,
    *,
    reference: Net | None = None,
    threads: int | None = None,
) -> dict[str, Statistics]:
    """Run the net over the images once; return statistics by parameter name.

    reference : the net that `Statistics.cross` compares with. Only the first MAX_COMPARED images
        are run then: each parameter takes a pass of its own through two nets.

    Raises
    ------
    RecipeError : a layer of a type whose inputs are not gathered.
    LimitError : the matrices would take more than MAX_BYTES.
    """
    sums = {name: _empty(net, name, reference is not None) for name in names}
    total = sum(bytes_of_gram(net, name, reference is not None) for name in names)
    if total > MAX_BYTES:
        raise LimitError(
            f"the input statistics would take {total / 1e9:,.1f} GB; the limit is "
            f"{MAX_BYTES / 1e9:,.1f} GB",
            where=f"parameters {', '.join(names)}",
            hint="exclude the largest layers from the step, or give them a step of their own",
        )
    walk = unfolded(net)
    wanted = _inputs_of_users(walk, sums)
    shapes = infer_shapes(walk, {calibration.blob: (1, *calibration.shape)})
    engine = Engine(walk, threads)
    other = None if reference is None else Engine(unfolded(reference), threads)
    most = None if reference is None else MAX_COMPARED
    for number, batch in enumerate(calibration.batches(_batch_size(shapes), most)):
        feed = {calibration.blob: batch}
        blobs = engine.run(feed, wanted)
        others = blobs if other is None else other.run(feed, wanted)
        # The parameters share the threads, so that the sums do not depend on how many there are.
        with limit_threads(1), ThreadPoolExecutor(threads or thread_count()) as pool:
            adding = [
                pool.submit(_add_batch, name, entry, walk, number, blobs, others)
                for name, entry in sums.items()
            ]
            for added in adding:
                added.result()
    return {name: _finished(entry) for name, entry in sums.items()}


def gather_once(
    net: Net, names: Sequence[str], calibration: Calibration, threads: int | None = None
) -> dict[str, Statistics]:
    """Return what `gather` does, from the calibration's memory or its cache where they have it."""
    key = ("gram", *names)

    def arrays() -> Mapping[str, Doubles]:
        found: dict[str, Doubles] = {}
        for name, entry in gather(net, names, calibration, threads=threads).items():
            found[f"{name} count"] = np.array([entry.count], np.float64)
            found[f"{name} gram"] = entry.gram
            found[f"{name} mean"] = entry.mean
        return found

    def compute() -> dict[str, Statistics]:
        found = calibration.stored(net, key, arrays)
        return {
            name: Statistics(
                int(found[f"{name} count"][0]), found[f"{name} gram"], found[f"{name} mean"]
            )
            for name in names
        }

    size = sum(bytes_of_gram(net, name, False) for name in names)
    return calibration.remembered((*key, digest_of(net)), size, compute)


def digest_of(net: Net) -> bytes:
    """Return a hash of all that a net computes with: its layers and its parameters' values."""
    found = sha256()
    for layer in net.layers:
        found.update(layer.param.SerializeToString(deterministic=True))
        found.update("\0".join((layer.key, *layer.parameters)).encode())
    for name in net.parameters:
        values = np.ascontiguousarray(net.parameters[name].to_dense())
        found.update(f"{name}\0{values.shape}\0".encode())
        found.update(values.reshape(-1).view(np.uint8).data)
    return found.digest()


def bytes_of_gram(net: Net, name: str, cross: bool) -> int:
    """Return the bytes that a parameter's statistics take."""
    groups, columns = size_of_gram(net, name)
    return groups * columns * columns * 8 * (2 if cross else 1)


def _users(net: Net, name: str) -> list[Layer]:
    users = [layer for layer in net.layers if name in layer.parameters[:1]]
    for layer in users:
        if layer.type not in _TYPES:
            raise RecipeError(
                f"the inputs of a {layer.type} layer are not gathered: `{name}` is one's",
                hint=f"select layers of the types {' and '.join(_TYPES)}",
            )
    if not users:
        raise RecipeError(f"`{name}` is no layer's weights: it has no inputs to gather")
    return users


def _empty(net: Net, name: str, cross: bool) -> _Sum:
    groups, columns = size_of_gram(net, name)
    if bytes_of_gram(net, name, cross) > MAX_BYTES:
        raise LimitError(
            f"`{name}` has {columns:,} inputs: their statistics would take "
            f"{bytes_of_gram(net, name, cross) / 1e9:,.1f} GB",
            hint="use a method without calibration for this layer",
        )
    shape = (groups, columns, columns)
    matrix = np.zeros(shape) if cross else None
    return _Sum(_users(net, name), np.zeros(shape), np.zeros((groups, columns)), matrix)


def _inputs_of_users(net: Net, names: Iterable[str]) -> list[str]:
    """Return the blobs that the layers with these weights read."""
    return sorted(
        {
            bottom
            for layer in net.layers
            if layer.parameters[:1] and layer.parameters[0] in names
            for bottom in layer.bottoms
        }
    )


def _batch_size(shapes: Shapes) -> int:
    each = 4 * sum(prod(shape) for shape in shapes.blobs.values() if shape is not None)
    return min(max(_ACTIVATION_BYTES // max(each, 1), 1), _MAX_BATCH)


def _add_batch(
    name: str,
    entry: _Sum,
    walk: Net,
    number: int,
    blobs: Mapping[str, Array],
    others: Mapping[str, Array],
) -> None:
    """Add what the layers of a parameter read in batch `number`."""
    rng = np.random.default_rng([number, zlib.crc32(name.encode())])
    for layer in entry.users:
        for bottom in walk.layer(layer.key).bottoms:
            _add(entry, layer, blobs[bottom], others[bottom], rng)


def _add(entry: _Sum, layer: Layer, x: Array, y: Array, rng: np.random.Generator) -> None:
    groups, columns = entry.mean.shape
    bottoms = (x,) if y is x else (x, y)
    for found in blocks(layer, groups, columns, bottoms, rng):
        mine, others = found[0], found[-1]
        for group in range(groups):
            entry.gram[group] += product(mine[group], mine[group])
            if entry.cross is not None:
                entry.cross[group] += product(others[group], mine[group])
        entry.mean += mine.sum(axis=2)
        entry.count += mine.shape[2]


def product(a: Array, b: Array) -> Array | Doubles:
    """Return a bᵀ, in float32 where its range suffices: a block's sums are short enough for it."""
    with np.errstate(all="ignore"):
        product = a @ b.T
    diagonal = np.abs(product.diagonal())
    if _LEAST < diagonal.max() < _MOST:
        return product
    return np.asarray(a.astype(np.float64) @ b.astype(np.float64).T)


def _finished(entry: _Sum) -> Statistics:
    cross = None if entry.cross is None else entry.cross / entry.count
    return Statistics(entry.count, entry.gram / entry.count, entry.mean / entry.count, cross)
