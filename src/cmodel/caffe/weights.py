"""What all files of weights have in common, and which kind of them a file is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cmodel.caffe.deep_compression import LayerSizes, looks_packed, read_packed
from cmodel.caffe.hdf5 import HDF5_MAGIC, MAX_MEMORY, read_hdf5
from cmodel.caffe.wire import read_caffemodel, read_head
from cmodel.errors import CaffemodelError
from cmodel.net import Shape
from cmodel.tensors import Form


class Blob(Protocol):
    """One blob of a layer, decoded when its form is asked for."""

    @property
    def shape(self) -> Shape:
        """Dimensions as the file states them."""

    @property
    def legacy(self) -> bool:
        """Whether the shape is given as num, channels, height, width."""

    @property
    def size(self) -> int:
        """Number of values."""

    @property
    def place(self) -> str:
        """Where in the file it stands."""

    def form(self, shape: Shape) -> Form:
        """Return the values as a tensor of this shape."""


class StoredLayer(Protocol):
    """A layer's name and blobs; None where the file leaves one out because it is shared."""

    @property
    def name(self) -> str:
        """What weights are matched by."""

    @property
    def blobs(self) -> Sequence[Blob | None]:
        """The blobs by index."""


class Weights(Protocol):
    """What a file of weights holds."""

    @property
    def path(self) -> str:
        """The file."""

    @property
    def layers(self) -> Sequence[StoredLayer]:
        """The layers, in the order of the file."""

    @property
    def shared_once(self) -> bool:
        """Whether a shared parameter stands with its owner only."""


def read_weights(
    path: str | Path,
    sizes: Sequence[LayerSizes] | None = None,
    *,
    max_memory: int = MAX_MEMORY,
) -> Weights:
    """Open a file of weights; its content tells what it is.

    Parameters
    ----------
    path : a caffemodel, Caffe's HDF5 weights, or a `.net` file of Deep Compression.
    sizes : the layers of the net that have weights, which a `.net` file cannot be read without;
        None where they are not known.
    max_memory : most bytes that HDF5 weights may come to.

    Raises
    ------
    InputError : it cannot be opened.
    CaffemodelError : it is none of these, or is damaged.
    MissingExtraError : it is HDF5, and h5py is not installed.
    LimitError : it is more intricate than any real one, or larger than `max_memory`.
    """
    head = read_head(path)
    if head.startswith(HDF5_MAGIC):
        return read_hdf5(path, max_memory=max_memory)
    # A `.net` file has no signature: its counts give its length to the last byte, or at least
    # are counts that this net can have.
    if sizes and looks_packed(path, head, sizes, whole=True):
        return read_packed(path, sizes)
    if sizes is None and Path(path).suffix == ".net":
        raise CaffemodelError(
            "a `.net` file of Deep Compression states neither layers nor shapes, so it is read "
            "only together with a net that does",
            where=str(path),
            hint="give a deploy.prototxt that states the shapes of its inputs",
        )
    sizes = sizes or ()
    try:
        return read_caffemodel(path)
    except CaffemodelError:
        if not looks_packed(path, head, sizes, whole=False):
            raise
    return read_packed(path, sizes)
