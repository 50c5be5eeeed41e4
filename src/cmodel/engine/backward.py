"""Gradients: runs a network forward, and backward from some of its blobs to others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmodel.blas import limit_threads
from cmodel.engine.engine import Engine
from cmodel.net import Layer, Net, Shapes, infer_shapes, unfolded

if TYPE_CHECKING:
    from cmodel.engine.gradients.gradient import Gradient

Array = NDArray[np.float32]


class NoGradientError(Exception):
    """A layer on the way has no backward pass. Never seen by a user: who asks has another way.

    layer : it.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__(f"no backward pass for layer `{layer.key}` ({layer.type})")
        self.layer = layer


def differentiable(net: Net, heads: Sequence[str]) -> set[str]:
    """Return the blobs of an unfolded net from which every way to the heads has backward passes."""
    from cmodel.engine.gradients.registry import has_gradient

    leading: set[str] = set(heads)
    blocked: set[str] = set()
    for layer in reversed(net.layers):
        tops = leading.intersection(layer.tops)
        if tops:
            leading.update(layer.bottoms)
            if not has_gradient(layer) or not tops.isdisjoint(blocked):
                blocked.update(layer.bottoms)
    return leading - blocked


class Gradients:
    """Gradients at blobs of a network, given those at its heads.

    The forward pass is run once; backward passes from it are linear, and D of them run at once.

    Parameters
    ----------
    net : the network; `net.unfolded` names its values.
    heads : names of values to start from.
    wanted : names of values at which gradients are asked for.
    threads : how many threads share the work; None means all cores that the process may use.
    read : names of more values that `forward` returns.

    Raises
    ------
    NoGradientError : a layer between a wanted blob and a head has no backward pass.
    """

    def __init__(
        self,
        net: Net,
        heads: Sequence[str],
        wanted: Sequence[str],
        threads: int | None = None,
        read: Collection[str] = (),
    ) -> None:
        from cmodel.engine.gradients.registry import GRADIENTS, has_gradient

        self.net = unfolded(net)
        self.heads, self.wanted = tuple(heads), tuple(wanted)
        self._read = tuple(read)
        self._engine = Engine(self.net, threads)
        self._shapes: tuple[object, Shapes] | None = None
        behind = set(wanted)
        leading = set(heads)
        for layer in self.net.layers:
            if not behind.isdisjoint(layer.bottoms):
                behind.update(layer.tops)
        # Layers to run, the last first, each with the bottoms whose gradients lead to wanted ones.
        self._steps: list[tuple[Layer, Gradient, list[bool]]] = []
        for layer in reversed(self.net.layers):
            if leading.isdisjoint(layer.tops):
                continue
            leading.update(layer.bottoms)
            needed = [name in behind for name in layer.bottoms]
            if not any(needed):
                continue
            factory = GRADIENTS.get(layer.type)
            if factory is None or not has_gradient(layer):
                raise NoGradientError(layer)
            forms = [self.net.parameters[name] for name in layer.parameters]
            self._steps.append((layer, factory(layer, forms), needed))

    def forward(self, feed: Mapping[str, ArrayLike]) -> dict[str, Array]:
        """Return the values of the heads, of `read`, and those that the backward passes read."""
        blobs = dict.fromkeys((*self.heads, *self._read))
        for layer, step, _ in self._steps:
            blobs.update(dict.fromkeys(layer.bottoms if step.reads_bottoms else ()))
            blobs.update(dict.fromkeys(layer.tops if step.reads_tops else ()))
        return self._engine.run(feed, list(blobs))

    def backward(
        self, feed: Mapping[str, ArrayLike], values: Mapping[str, Array], given: Mapping[str, Array]
    ) -> Iterator[tuple[str, Array]]:
        """Yield the wanted blobs with their gradients, (D, *the blob's shape), the last blob first.

        Parameters
        ----------
        feed, values : what `forward` was given, and what it returned.
        given : gradients at heads, float32 (D, *the head's shape).

        A wanted blob on which no given head depends does not appear.
        """
        shapes = self._inferred(feed)
        found = {name: np.ascontiguousarray(array, np.float32) for name, array in given.items()}
        wanted = set(self.wanted)
        for layer, step, needed in self._steps:
            tops = [found.pop(name, None) for name in layer.tops]
            for name, gradient in zip(layer.tops, tops, strict=True):
                if name in wanted and gradient is not None:
                    wanted.remove(name)
                    yield name, gradient
            with np.errstate(all="ignore"), limit_threads(1):
                for name, part in self._run(layer, step, values, shapes, tops, needed):
                    found[name] = found[name] + part if name in found else part
        for name in sorted(wanted & found.keys()):
            yield name, found[name]

    def run(
        self,
        feed: Mapping[str, ArrayLike],
        given: Mapping[str, Array] | Callable[[Mapping[str, Array]], Mapping[str, Array]],
    ) -> dict[str, Array]:
        """Run forward and backward; return the gradients by wanted blob.

        given : gradients at the heads, (D, *the head's shape), or what makes them from the values.
        """
        values = self.forward(feed)
        gradients = given(values) if callable(given) else given
        return dict(self.backward(feed, values, gradients))

    def _run(
        self,
        layer: Layer,
        step: Gradient,
        values: Mapping[str, Array],
        shapes: Shapes,
        tops: Sequence[Array | None],
        needed: Sequence[bool],
    ) -> Iterator[tuple[str, Array]]:
        from cmodel.engine.gradients.gradient import Pass

        there = [gradient for gradient in tops if gradient is not None]
        if not there:
            return
        top_shapes = [shapes.blobs[name] or () for name in layer.tops]
        at = Pass(
            [values[name] for name in layer.bottoms] if step.reads_bottoms else [],
            [values[name] for name in layer.tops] if step.reads_tops else [],
            [shapes.blobs[name] or () for name in layer.bottoms],
            top_shapes,
            [
                np.zeros((len(there[0]), *shape), np.float32) if gradient is None else gradient
                for gradient, shape in zip(tops, top_shapes, strict=True)
            ],
            self._engine.threads,
        )
        for name, part, wanted in zip(layer.bottoms, step.run(at), needed, strict=True):
            if wanted:
                yield name, part

    def _inferred(self, feed: Mapping[str, ArrayLike]) -> Shapes:
        fed = {name: np.shape(array) for name, array in feed.items()}
        if self._shapes is None or self._shapes[0] != fed:
            self._shapes = (fed, infer_shapes(self.net, fed))
        return self._shapes[1]
