"""The table of twins: one function for each layer type, as Caffe computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from cmodel.net import Layer, Registry, Shape


@dataclass
class Call:
    """One layer at work.

    bottoms : what it reads. parameters : its dense parameters. training : whether this is a pass
    of training, in which Dropout drops and BatchNorm may look at the batch.
    dropout : factor of the layer's own dropout ratio.
    batch_statistics : whether a BatchNorm normalises by the batch while it trains.
    updates : what a layer has found out about the batch, to be put into its parameters.
    """

    layer: Layer
    bottoms: Sequence[Tensor]
    parameters: Sequence[Tensor]
    training: bool = False
    dropout: float = 1.0
    batch_statistics: bool = False
    updates: list[Tensor] = field(default_factory=list)

    @property
    def shapes(self) -> list[Shape]:
        """Shapes of the bottoms."""
        return [tuple(bottom.shape) for bottom in self.bottoms]


Twin = Callable[[Call], list[Tensor]]
TWINS: Registry[Twin] = Registry("twin")


def twin(*types: str) -> Callable[[Twin], Twin]:
    """Register a function for layer types."""

    def register(function: Twin) -> Twin:
        for name in types:
            TWINS.add(name, function)
        return function

    return register
