"""Tensor forms that train: what a form stores are the weights, how it is read stays as it is.

A mask stays a mask: only stored values get gradients. A shared value gets the sum of its members'
gradients (S. Han, H. Mao, W. Dally, "Deep Compression", 2016, equation 3; W. Chen et al.,
"Compressing Neural Networks with the Hashing Trick", 2015, equation 12): that is what the gradient
of a look-up is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmodel.errors import RecipeError
from cmodel.tensors import Codebook, Dense, Form, Hashed, Linear, Product, Sparse
from cmodel.tensors.hashing import buckets_and_signs


class Trainable(nn.Module, ABC):
    """A parameter of the net: `forward` gives its dense values, `form` how it would be stored."""

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the values, in the tensor's shape."""

    @abstractmethod
    def form(self) -> Form:
        """Return the form as it stands."""


def tensor_of(values: Any) -> Tensor:
    """Return a tensor of its own with these values."""
    return torch.from_numpy(np.array(values, order="C"))


def array_of(tensor: Tensor) -> NDArray[Any]:
    """Return the values as an array of its own."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


class Fixed(Trainable):
    """Any form, not trained: what it holds comes back as it came."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.start = form
        self.register_buffer("values", tensor_of(form.to_dense()), persistent=False)

    def forward(self) -> Tensor:
        """Return the values."""
        return self.values

    def form(self) -> Form:
        """Return the form that it came as."""
        return self.start


class Free(Trainable):
    """All values train. `statistics` are set by the net, not by gradients."""

    def __init__(self, form: Dense, *, statistics: bool = False) -> None:
        super().__init__()
        self.start = form
        self.values = nn.Parameter(tensor_of(form.to_dense()), requires_grad=not statistics)

    def forward(self) -> Tensor:
        """Return the values."""
        return self.values

    def form(self) -> Form:
        """Return a Dense form; the one that it came as where nothing has changed."""
        values = array_of(self.values)
        same = np.array_equal(values.view(np.uint32), self.start.to_dense().view(np.uint32))
        return self.start if same else Dense(values)


class Masked(Trainable):
    """Values at fixed positions, zero elsewhere."""

    def __init__(self, form: Sparse, values: Trainable) -> None:
        super().__init__()
        self.start = form
        self.stored = values
        # Where each stored value belongs.
        places = replace(
            form, values=Dense(np.arange(1, form.values.shape[0] + 1, dtype=np.float32))
        )
        order = places.to_dense().reshape(-1).astype(np.int64)
        self.register_buffer("places", torch.from_numpy(np.flatnonzero(order)), persistent=False)
        rank = order[order > 0] - 1
        self.register_buffer("rank", torch.from_numpy(rank), persistent=False)

    def forward(self) -> Tensor:
        """Scatter the values."""
        values = self.stored()
        flat = values.new_zeros(int(np.prod(self.start.shape, dtype=np.int64)))
        return flat.index_copy(0, self.places, values[self.rank]).reshape(self.start.shape)

    def form(self) -> Form:
        """Return the sparse form at the same positions."""
        return replace(self.start, values=self.stored.form())


class Shared(Trainable):
    """A codebook: its entries train, which one an element takes does not change."""

    def __init__(self, form: Codebook, centroids: Trainable) -> None:
        super().__init__()
        self.start = form
        self.centroids = centroids
        flat = form.indices.reshape(form.groups, -1).astype(np.int64)
        flat = flat + np.arange(form.groups)[:, None] * form.entries
        self.register_buffer("index", torch.from_numpy(flat.reshape(-1)), persistent=False)

    def forward(self) -> Tensor:
        """Look the elements up."""
        return self.centroids().reshape(-1)[self.index].reshape(self.start.shape)

    def form(self) -> Form:
        """Return the codebook form with the same indices."""
        return replace(self.start, centroids=self.centroids.form())


class Scaled(Trainable):
    """Fixed point: the scales train, the integers do not change."""

    def __init__(self, form: Linear, scales: Trainable) -> None:
        super().__init__()
        self.start = form
        self.scales = scales
        ints = form.ints.reshape(form.groups, -1).astype(np.int64) - form.zeros[:, None]
        self.register_buffer("ints", tensor_of(ints.astype(np.float32)), persistent=False)

    def forward(self) -> Tensor:
        """Return scale * (int - zero)."""
        return (self.ints * self.scales()[:, None]).reshape(self.start.shape)

    def form(self) -> Form:
        """Return the fixed-point form with the same integers."""
        return replace(self.start, scales=self.scales.form())


class Bucketed(Trainable):
    """Hashed weights: the buckets train."""

    def __init__(self, form: Hashed, buckets: Trainable) -> None:
        super().__init__()
        self.start = form
        self.buckets = buckets
        size = int(np.prod(form.shape, dtype=np.int64))
        index, negative = buckets_and_signs(0, size, form.buckets.shape[0], form.seed)
        signs = np.where(negative & form.signed, -1, 1).astype(np.float32)
        self.register_buffer("index", torch.from_numpy(index), persistent=False)
        self.register_buffer("signs", torch.from_numpy(signs), persistent=False)

    def forward(self) -> Tensor:
        """Look the elements up."""
        return (self.buckets()[self.index] * self.signs).reshape(self.start.shape)

    def form(self) -> Form:
        """Return the hashed form with the same hash."""
        return replace(self.start, buckets=self.buckets.form())


class Coded(Trainable):
    """Product codes: the codewords train, the codes do not change."""

    def __init__(self, form: Product, codebooks: Trainable) -> None:
        super().__init__()
        self.start = form
        self.codebooks = codebooks
        _, books, entries, _ = form.codebooks.shape
        space = np.arange(form.codes.shape[2]) if books > 1 else np.zeros(form.codes.shape[2], int)
        index = space * entries + form.codes.astype(np.int64)
        self.register_buffer("index", torch.from_numpy(index), persistent=False)

    def forward(self) -> Tensor:
        """Add the stages' codewords up."""
        form, books = self.start, self.codebooks()
        stages, _, _, dimension = books.shape
        flat = books.reshape(stages, -1, dimension)
        rows = flat[0][self.index[0]]
        for stage in range(1, stages):
            rows = rows + flat[stage][self.index[stage]]
        permuted = rows.reshape([form.shape[axis] for axis in form.axes])
        return permuted.permute(*np.argsort(form.axes).tolist())

    def form(self) -> Form:
        """Return the product form with the same codes."""
        return replace(self.start, codebooks=self.codebooks.form())


def trainable(form: Form, name: str) -> Trainable:
    """Return what trains a form.

    Raises
    ------
    RecipeError : it has nothing that trains.
    """
    match form:
        case Dense():
            return Free(form)
        case Sparse():
            return Masked(form, trainable(form.values, name))
        case Codebook():
            return Shared(form, trainable(form.centroids, name))
        case Linear():
            return Scaled(form, trainable(form.scales, name))
        case Hashed():
            return Bucketed(form, trainable(form.buckets, name))
        case Product(rotation=None):
            return Coded(form, trainable(form.codebooks, name))
        case _:
            what = "a rotated product code" if isinstance(form, Product) else type(form).__name__
            raise RecipeError(
                f"`{name}` cannot be trained: it is {what}",
                hint=f'freeze = ["{name.rpartition("/")[0]}"] leaves the layer as it is',
            )
