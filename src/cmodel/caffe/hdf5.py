"""Caffe's HDF5 weights: a dataset `/data/<layer>/<index>` for each parameter, shared ones once.

HDF5 files can refer to other files and can state any size: neither is followed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from cmodel.errors import (
    CaffemodelError,
    InputError,
    LimitError,
    LimitMemory,
    MissingExtraError,
    UnsupportedError,
)
from cmodel.files import atomic_path
from cmodel.net import Net, Shape, parameter_name
from cmodel.tensors import Dense

if TYPE_CHECKING:
    import h5py

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_GROUPS = 100_000
# Bytes of all values: packed, a small file may state far more than fits into memory.
MAX_MEMORY = 4 << 30
# Layers called "a/b" are groups inside groups.
MAX_NESTING = 32
MAX_AXES = 32
# No filter of HDF5's packs tighter than deflate does.
_PACKED_RATIO = 1032
# What h5py raises where a file is damaged.
_ERRORS = (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True)
class Hdf5Blob:
    """A dataset of weights, read when its form is asked for."""

    dataset: h5py.Dataset
    shape: Shape
    place: str
    path: str
    legacy: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    def form(self, shape: Shape) -> Dense:
        """Read the values; they keep their bits where they are stored as float32."""
        values = np.empty(self.shape, np.float32)
        if self.size:
            with damage_named(f"{self.path}, {self.place}", CaffemodelError):
                self.dataset.read_direct(values)
        return Dense(values.reshape(shape))


@dataclass(frozen=True)
class Hdf5Layer:
    """A layer's parameters by index; None where a shared one stands with its owner."""

    name: str
    blobs: list[Hdf5Blob | None]


@dataclass(frozen=True)
class Hdf5Weights:
    """All layers of a file, which stays open as long as its blobs live."""

    path: str
    layers: list[Hdf5Layer] = field(default_factory=list)
    shared_once: bool = True


@dataclass
class _Reader:
    """Collects the layers of a file.

    seen : addresses of the groups met: each object of a file has one place.
    room : bytes that the values may still take.
    """

    h5: ModuleType
    weights: Hdf5Weights
    room: int
    seen: set[int] = field(default_factory=set)

    def collect(self, group: h5py.Group, name: str, depth: int) -> None:
        """Add a group's datasets as a layer, and the groups inside it."""
        found: dict[int, Hdf5Blob] = {}
        inner: list[tuple[str, h5py.Group]] = []
        path = self.weights.path
        with damage_named(f"{path}, /data/{name}", CaffemodelError):
            address = self.h5.h5o.get_info(group.id).addr
            if address in self.seen:
                raise CaffemodelError("the group stands twice", where=f"{path}, /data/{name}")
            self.seen.add(address)
            for key in group:
                place = "/data/" + (f"{name}/{key}" if name else key)
                where = f"{path}, {place}"
                if not isinstance(group.get(key, getlink=True), self.h5.HardLink):
                    raise CaffemodelError("a link is not followed", where=where)
                item = group[key]
                if isinstance(item, self.h5.Group):
                    inner.append((key, item))
                elif (
                    isinstance(item, self.h5.Dataset) and name and key.isdecimal() and len(key) < 4
                ):
                    shape = check_dataset(item, where, CaffemodelError)
                    self.room -= 4 * prod(shape)
                    if self.room < 0:
                        raise LimitMemory(
                            "the weights come to more bytes than allowed",
                            where=where,
                            hint="--max-memory raises the limit",
                        )
                    found[int(key)] = Hdf5Blob(item, shape, place, path)
                else:
                    raise CaffemodelError("this is no parameter of a layer", where=where)
        if found or not inner:
            size = max(found, default=-1) + 1
            self.weights.layers.append(Hdf5Layer(name, [found.get(i) for i in range(size)]))
        if len(self.seen) > MAX_GROUPS or depth > MAX_NESTING:
            raise LimitError(
                f"the file has more than {MAX_GROUPS:,} groups, or deeper ones than {MAX_NESTING}",
                where=path,
            )
        for key, item in inner:
            self.collect(item, f"{name}/{key}" if name else key, depth + 1)


def load_h5py(what: str) -> ModuleType:
    """Return the module h5py; `what` needs it.

    Raises
    ------
    MissingExtraError : it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(what, "hdf5") from error
    module: ModuleType = h5py
    return module


@contextmanager
def damage_named(where: str, error: type[InputError]) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into `error`."""
    try:
        yield
    except _ERRORS as reason:
        text = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        raise error(
            f"the HDF5 file is cut or damaged: {text}", where=where, hint="fetch it again"
        ) from reason


def check_dataset(dataset: h5py.Dataset, where: str, error: type[InputError]) -> Shape:
    """Return the shape of a dataset of numbers, once all of it is known to lie in the file.

    Raises
    ------
    InputError : as `error`: it holds no numbers, lies in another file, or the file is too short.
    """
    with damage_named(where, error):
        shape, dtype = dataset.shape, dataset.dtype
        outside = dataset.is_virtual or bool(dataset.external)
        plain = dataset.id.get_create_plist().get_nfilters() == 0
        stored = dataset.id.get_storage_size()
        chunk = prod(dataset.chunks or ())
    if shape is None or dtype.kind not in "fiu":
        raise error(f"the dataset holds no numbers but {dtype}", where=where)
    if outside:
        raise error(
            "the dataset's values lie in another file, which is not followed",
            where=where,
            hint="write the file again with all of its data inside",
        )
    if len(shape) > MAX_AXES:
        raise error(f"the dataset has more than {MAX_AXES} axes", where=where)
    room = stored if plain else stored * _PACKED_RATIO
    if max(prod(shape), 0 if plain else chunk) * dtype.itemsize > room:
        raise error(
            f"the dataset states {prod(shape):,} values, the file has {stored:,} bytes for them",
            where=where,
            hint="the file is cut, or was never written to its end",
        )
    return tuple(int(size) for size in shape)


def read_hdf5(path: str | Path, *, max_memory: int = MAX_MEMORY) -> Hdf5Weights:
    """Open HDF5 weights as Caffe's `Net.save_hdf5` writes them; errors as `read_weights`."""
    h5 = load_h5py("reading HDF5 weights")
    where = str(path)
    with damage_named(where, CaffemodelError):
        file = h5.File(path, "r")
        data = file.get("data", getlink=True)
        root = file["data"] if isinstance(data, h5.HardLink) else None
    if not isinstance(root, h5.Group):
        raise CaffemodelError(
            "the HDF5 file has no group `/data`, so it holds no weights of Caffe",
            where=where,
            hint="Caffe writes such files by `net.save_hdf5(...)` and as snapshots of format HDF5",
        )
    weights = Hdf5Weights(where)
    _Reader(h5, weights, max_memory).collect(root, "", 0)
    return weights


def write_hdf5(net: Net, path: str | Path) -> None:
    """Write the parameters of a net as Caffe's HDF5 weights, whole or not at all.

    Values are float32 and keep their bits; a shared parameter stands with its owner only. A layer
    called "a/b" becomes a group in a group, where `read_hdf5` finds it but Caffe itself does not.

    Raises
    ------
    OutputError : the file cannot be written.
    UnsupportedError : HDF5 has no place for a layer's name.
    MissingExtraError : h5py is not installed.
    """
    h5 = load_h5py("writing HDF5 weights")
    with atomic_path(path) as temporary, h5.File(temporary, "w") as file:
        data = file.create_group("data")
        taken: set[str] = set()
        for layer in net.layers:
            own = [
                (i, name)
                for i, name in enumerate(layer.parameters)
                if name == parameter_name(layer.key, i)
            ]
            if layer.name in taken and not own:
                continue
            _check_name(layer.name, taken)
            taken.add(layer.name)
            try:
                group = data.require_group(layer.name)
                for i, name in own:
                    values = np.ascontiguousarray(net.parameters[name].to_dense(), "<f4")
                    group.create_dataset(str(i), data=values, track_times=False)
            except (TypeError, ValueError) as error:
                # "a" with parameter 0, and a layer "a/0".
                raise UnsupportedError(
                    "the layer's name is that of another layer's parameter in HDF5",
                    where=f"layer `{layer.name}`",
                ) from error


def _check_name(name: str, taken: set[str]) -> None:
    if name in taken:
        raise UnsupportedError(
            "HDF5 weights cannot hold two layers of one name",
            where=f"layer `{name}`",
            hint="give them names of their own, or write a caffemodel",
        )
    if "\0" in name or any(part in ("", ".") for part in name.split("/")):
        raise UnsupportedError("HDF5 has no place for the layer's name", where=f"layer `{name}`")
