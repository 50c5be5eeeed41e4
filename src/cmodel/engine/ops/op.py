"""What an operation is: prepared once from a layer and its parameters, bound to shapes, called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cmodel import _engine
from cmodel.net import Layer, Parameter, Range, Shape

Array = NDArray[np.float32]
# A layer, its input, its result, and what is added to it or None; all flat.
Call = tuple[_engine.Layer, Array, Array, Array | None]
# Reads the bottoms, fills the tops: float32 arrays in C order, of the shapes bound.
PlainKernel = Callable[[Sequence[Array], Sequence[Array]], None]


class NativeKernel:
    """A layer that runs in C, without Python between it and the next.

    It treats each bottom alike; with a residual there is one, and the residual behind it.
    """

    def __init__(self, layer: _engine.Layer, residual: bool = False) -> None:
        self.layer = layer
        self._residual = residual

    def calls(self, bottoms: Sequence[Array], tops: Sequence[Array]) -> list[Call]:
        """Return what the layer is to be called with: input, result, and residual or None."""
        if self._residual:
            x, added = bottoms
            return [(self.layer, x.reshape(-1), tops[0].reshape(-1), added.reshape(-1))]
        return [
            (self.layer, x.reshape(-1), y.reshape(-1), None)
            for x, y in zip(bottoms, tops, strict=True)
        ]


Kernel = PlainKernel | NativeKernel

# Waking the other threads costs as much time as about this many multiply-adds.
LEAST_WORK = 500_000
# What one element of a loop counts in multiply-adds: it is not a matrix multiplication.
ELEMENT = 32


def team(threads: int, multiply_adds: int) -> int:
    """Return how many of the threads are worth waking for so much work."""
    return threads if multiply_adds >= LEAST_WORK else 1


def dense(parameter: Parameter) -> Array:
    """Return the values of a tensor form as a float32 array in C order."""
    return np.ascontiguousarray(parameter.to_dense(), np.float32)


class Held:
    """A parameter that is decoded when it is asked for, and given back when kernels are made.

    parameters : each access may decode it anew.
    """

    def __init__(self, parameters: Sequence[Parameter], index: int) -> None:
        self._parameters, self._index = parameters, index
        self._form: Parameter | None = None

    @property
    def form(self) -> Parameter:
        """The parameter, decoded at most once between two calls of `release`."""
        if self._form is None:
            self._form = self._parameters[self._index]
        return self._form

    def release(self) -> None:
        """Keep it no longer: what kernels read has been made of it."""
        self._form = None


class Op(ABC):
    """A layer with its parameters, ready to be bound to shapes.

    overwrites : the kernel may be called with its first top lying on its first bottom.
    aliases : the tops hold the bottom's values unchanged, at most in another shape; no kernel runs.
    multiplies : the kernel may call BLAS, whose threads are to be held at one meanwhile.
    by_image : what it does to each image may be done by itself, at no great loss.
    fast : kernels may be bound whose rounding errors are larger, for speed.
    compressed : kernels may be bound that compute with compressed weights as they are.
    range : of the first bottom, where kernels of 8-bit integers may be bound; else None.
    """

    overwrites: ClassVar[bool] = False
    aliases: ClassVar[bool] = False
    multiplies: ClassVar[bool] = True
    by_image: ClassVar[bool] = False
    fast: bool = False
    compressed: bool = True
    range: Range | None = None

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        self.layer = layer

    @abstractmethod
    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return the kernel for these shapes."""

    def joins(self, bottoms: Sequence[Shape]) -> int:
        """Return how many times the top holds a piece of each bottom, one after another, in turn.

        1: it is nothing but the bottoms one after another; 0: it is something else.
        """
        return 0

    def followed(self, following: Op) -> Op | None:
        """Return this operation with another after it, or None where it cannot take it over.

        The other's bottoms besides this one's top become the last bottoms of the result.
        """
        return None


class DynamicOp(ABC):
    """A layer whose tops have as many entries as the values of its bottoms say."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        self.layer = layer

    @abstractmethod
    def compute(self, bottoms: Sequence[Array]) -> list[Array]:
        """Return the tops, which may be empty, for these bottoms, which are only read."""


class Unary(Op):
    """One bottom, one top of its shape, no parameters, each element for itself."""

    overwrites = True
    multiplies = False

    @abstractmethod
    def apply(self, x: Array, out: Array) -> None:
        """Fill `out`, which may be `x`."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return `apply` as a kernel."""

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            self.apply(bottoms[0], tops[0])

        return kernel


class Alias(Op):
    """The tops are the bottom."""

    aliases = True
    multiplies = False

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return a kernel that copies, for the case that an array has to be its own."""

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            for top in tops:
                np.copyto(top, bottoms[0].reshape(top.shape))

        return kernel
