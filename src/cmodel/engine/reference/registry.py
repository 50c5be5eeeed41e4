"""What a reference function is given, and the table of them by layer type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.net import Layer, Registry, Shape

Doubles = NDArray[np.float64]
Bottoms = Sequence[Doubles]


@dataclass(frozen=True)
class Call:
    """What a function is given: the layer, its bottoms and parameters, the shapes of its tops.

    Those shapes are what the net says before it runs: a few types give as many values as they find.
    """

    layer: Layer
    bottoms: Bottoms
    parameters: Bottoms
    tops: Sequence[Shape]


Function = Callable[[Call], list[Doubles]]

FUNCTIONS: Registry[Function] = Registry("reference function")


def register(*types: str) -> Callable[[Function], Function]:
    """Enter a function for these layer types."""

    def add(function: Function) -> Function:
        for name in types:
            FUNCTIONS.add(name, function)
        return function

    return add


def sigmoid(x: Doubles) -> Doubles:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def softmax(x: Doubles, axis: int) -> Doubles:
    """Exponentials over their sum, along an axis."""
    y = np.exp(x - x.max(axis=axis, keepdims=True))
    result: Doubles = y / y.sum(axis=axis, keepdims=True)
    return result
