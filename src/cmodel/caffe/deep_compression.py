"""Reads the `.net` files that the authors of Deep Compression published (SqueezeNet).

Little-endian, without any signature or name: for each layer with weights, in the order of the net,
the number of its entries (uint32); then for each of these layers 256 float32 centroids, of which
the first is 0, its float32 biases, one byte of code for each entry, and four bits of gap for each
entry, two in a byte, the lower half first. An entry's position is one more than its gap beyond the
one before it; where a gap is too long for four bits, entries of code 0 fill it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmodel.errors import CaffemodelError, InputError
from cmodel.net import Shape
from cmodel.tensors import Codebook, Dense, Form, Sparse

ENTRIES = 256


@dataclass(frozen=True)
class LayerSizes:
    """A layer of a net that has weights, and biases unless their shape is None."""

    name: str
    weights: Shape
    biases: Shape | None


@dataclass(frozen=True)
class PackedBlob:
    """A blob that is a form already."""

    stored: Form
    place: str
    legacy: bool = False

    @property
    def shape(self) -> Shape:
        """Shape of the form."""
        return self.stored.shape

    @property
    def size(self) -> int:
        """Number of values, zeros included."""
        return prod(self.stored.shape)

    def form(self, shape: Shape) -> Form:
        """Return the form, which has its shape from the net that it is read for."""
        if shape != self.shape:
            raise ValueError(f"a blob of shape {self.shape} for {shape}")
        return self.stored


@dataclass(frozen=True)
class PackedLayer:
    """A layer's weights and biases."""

    name: str
    blobs: list[PackedBlob]


@dataclass(frozen=True)
class PackedWeights:
    """All layers of a `.net` file."""

    path: str
    layers: list[PackedLayer] = field(default_factory=list)
    shared_once: bool = False


def looks_packed(
    path: str | Path, head: bytes, sizes: Sequence[LayerSizes], *, whole: bool
) -> bool:
    """Whether a file may be a `.net` file of this net: each layer has a possible count.

    `head` are its first bytes. With `whole` the counts need to give the length of the file, too.
    """
    counts = _counts(head, sizes)
    if not sizes or len(counts) < len(sizes):
        return False
    if not all(0 < n <= prod(layer.weights) for n, layer in zip(counts, sizes, strict=True)):
        return False
    return not whole or Path(path).stat().st_size == _length(counts, sizes)


def read_packed(path: str | Path, sizes: Sequence[LayerSizes]) -> PackedWeights:
    """Read a `.net` file: weights come as sparse codebooks, biases dense.

    Raises
    ------
    InputError : it cannot be read.
    CaffemodelError : it does not fit the net, or is damaged.
    """
    where = str(path)
    try:
        with Path(path).open("rb") as file:
            counts = _counts(file.read(4 * len(sizes)), sizes)
            expected, size = _length(counts, sizes), file.seek(0, os.SEEK_END)
            fits = len(counts) == len(sizes) and expected == size
            file.seek(0)
            # Only a file of the right length comes into memory.
            data = np.fromfile(file, np.uint8) if fits else np.empty(0, np.uint8)
    except OSError as error:
        raise InputError(f"cannot read the weights: {error.strerror}", where=where) from None
    if not fits:
        raise CaffemodelError(
            f"as a `.net` file of Deep Compression it needs {expected:,} bytes for the "
            f"{len(sizes)} layers of this net, and has {size:,}",
            where=where,
            hint="the file is cut, or belongs to another net",
        )
    cursor = _Cursor(data, where, 4 * len(sizes))
    layers = [
        PackedLayer(layer.name, _blobs(cursor, layer, count))
        for layer, count in zip(sizes, counts, strict=True)
    ]
    return PackedWeights(where, layers)


@dataclass
class _Cursor:
    """Takes the bytes of a file one run after another; their sum was checked before."""

    data: NDArray[np.uint8]
    where: str
    at: int

    def bytes(self, count: int) -> NDArray[np.uint8]:
        self.at += count
        return self.data[self.at - count : self.at]

    def floats(self, count: int) -> NDArray[np.float32]:
        return np.frombuffer(self.bytes(4 * count).tobytes(), "<f4").astype(np.float32, copy=False)


def _counts(head: bytes, sizes: Sequence[LayerSizes]) -> list[int]:
    usable = min(len(head) // 4, len(sizes))
    return [int(count) for count in np.frombuffer(head, "<u4", usable)]


def _length(counts: Sequence[int], sizes: Sequence[LayerSizes]) -> int:
    """Bytes of a file with these counts."""
    biases = sum(prod(layer.biases) for layer in sizes if layer.biases is not None)
    floats = ENTRIES * len(sizes) + biases
    return 4 * len(sizes) + 4 * floats + sum(n + (n + 1) // 2 for n in counts)


def _blobs(cursor: _Cursor, layer: LayerSizes, count: int) -> list[PackedBlob]:
    start = cursor.at
    where = f"{cursor.where}, layer `{layer.name}`, byte {start}"
    centroids = cursor.floats(ENTRIES)
    if centroids[0] != 0:
        raise CaffemodelError(
            f"the first of a layer's {ENTRIES} centroids is {centroids[0]}, it has to be 0",
            where=where,
            hint="the file is damaged, or belongs to another net",
        )
    biases = None if layer.biases is None else cursor.floats(prod(layer.biases))
    codes = cursor.bytes(count)
    pairs = cursor.bytes((count + 1) // 2)
    gaps = np.stack([pairs & 15, pairs >> 4], axis=1).reshape(-1)
    positions = np.cumsum(gaps[:count].astype(np.int64) + 1) - 1
    if positions[-1] >= prod(layer.weights):
        raise CaffemodelError(
            f"position {positions[-1]:,} lies beyond the {prod(layer.weights):,} weights",
            where=where,
            hint="the file is damaged, or belongs to another net",
        )
    if count % 2 and gaps[count]:
        raise CaffemodelError(
            "the unused half of a layer's last gap is not 0",
            where=where,
            hint="the file is damaged, or belongs to another net",
        )
    used = codes != 0
    weights = Sparse(
        layer.weights, positions[used], Codebook(Dense(centroids[None]), codes[used].copy())
    )
    place = f"byte {start}"
    found = [PackedBlob(weights, place)]
    if layer.biases is not None and biases is not None:
        found.append(PackedBlob(Dense(biases.reshape(layer.biases)), place))
    return found
