"""What a backward pass of one layer is: prepared once from a layer and its parameters, then run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmodel.engine.ops.op import Array
from cmodel.net import Layer, Parameter, Shape


@dataclass(frozen=True)
class Pass:
    """One run of a backward pass, for D gradients at once.

    bottoms, tops : the values of the forward pass; empty where the class does not read them.
    bottom_shapes, top_shapes : their shapes.
    gradients : with respect to each top, (D, *its shape), never to be changed.
    threads : how many may share the work.
    """

    bottoms: Sequence[Array]
    tops: Sequence[Array]
    bottom_shapes: Sequence[Shape]
    top_shapes: Sequence[Shape]
    gradients: Sequence[Array]
    threads: int

    @property
    def count(self) -> int:
        """D."""
        return len(self.gradients[0])


class Gradient(ABC):
    """The backward pass of one layer with respect to its bottoms.

    reads_bottoms, reads_tops : which values of the forward pass `run` needs.
    """

    reads_bottoms: bool = False
    reads_tops: bool = False

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        self.layer = layer

    @abstractmethod
    def run(self, at: Pass) -> list[Array]:
        """Return the gradients with respect to each bottom, (D, *its shape)."""


class Elementwise(Gradient):
    """One bottom, one top of its shape, each element for itself."""

    @abstractmethod
    def derivative(self, at: Pass) -> Array:
        """Return the derivative at each element, in a shape that broadcasts to the top's."""

    def run(self, at: Pass) -> list[Array]:
        """Multiply."""
        return [at.gradients[0] * np.asarray(self.derivative(at), np.float32)]
