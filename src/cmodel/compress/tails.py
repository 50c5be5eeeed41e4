"""Variants of a net run from the first layer that differs; all before it is run once for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmodel.engine import Engine
from cmodel.errors import UsageError, did_you_mean
from cmodel.net import INPUT_TYPES, Net, unfolded
from cmodel.proto import caffe_pb2
from cmodel.tensors import size_of

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Tail:
    """A variant of a net.

    walk : what `walk_of` makes of it. start : number of the first layer that differs.
    blob : of the scores, in the net as given; scores : the name of its last value in the walk.
    """

    walk: Net
    start: int
    blob: str
    scores: str

    @property
    def weight_bytes(self) -> int:
        """Bytes of the float32 parameters of its layers."""
        names = {name for layer in self.walk.layers[self.start :] for name in layer.parameters}
        return 4 * sum(size_of(self.walk.parameters.shape(name)) for name in names)


def tail_of(whole: Net, net: Net, blob: str) -> Tail:
    """Return a net as a variant of the one whose walk is `whole`; `blob` holds its scores.

    Parameters that are the same are the same objects in both.
    """
    walk = walk_of(net)
    return Tail(walk, _first_change(whole, walk), blob, _final(net, walk, blob))


def walk_of(net: Net) -> Net:
    """Return the net with a name of its own for each value, without layers that feed it."""
    walk = unfolded(net)
    inputs = walk.inputs
    header = _header(list(inputs), [shape or () for shape in inputs.values()])
    layers = [layer for layer in walk.layers if layer.type not in INPUT_TYPES]
    return Net(header, layers, net.parameters)


def _final(net: Net, walk: Net, blob: str) -> str:
    """Return the name that the last value of a blob has in the walk."""
    layers = [layer for layer in net.layers if layer.type not in INPUT_TYPES]
    for layer, renamed in zip(reversed(layers), reversed(walk.layers), strict=True):
        for name, fresh in zip(layer.tops, renamed.tops, strict=True):
            if name == blob:
                return fresh
    raise UsageError(f"the net has no blob `{blob}`", hint=did_you_mean(blob, walk.outputs))


def _first_change(a: Net, b: Net) -> int:
    """Return the number of the first layer that is not the same in both, parameters included."""
    for number, (one, two) in enumerate(zip(a.layers, b.layers, strict=False)):
        if one.param != two.param or one.parameters != two.parameters:
            return number
        if any(a.parameters[n] is not b.parameters[n] for n in one.parameters):
            return number
    return min(len(a.layers), len(b.layers))


def _live(walk: Net, start: int, wanted: str) -> list[str]:
    """Return the values made before layer `start` that the layers from it on read, or `wanted`."""
    made: set[str] = set()
    live: dict[str, None] = {}
    for layer in walk.layers[start:]:
        live.update((name, None) for name in layer.bottoms if name not in made)
        made.update(layer.tops)
    if wanted not in made:
        live[wanted] = None
    return list(live)


def run_tails(
    whole: Net,
    tails: Sequence[Tail],
    feed: str,
    batches: Iterable[Array],
    threads: int | None = None,
) -> list[Array]:
    """Return the scores of each tail, float32 (N, classes).

    What the layers before a tail make is computed once for a batch, and serves all tails.

    Parameters
    ----------
    whole : what `walk_of` makes of the net that the tails are variants of.
    feed : the input blob that gets the images, `batches` of them.

    Raises
    ------
    UsageError : the blob of a tail does not hold a score for each class.
    """
    inputs = set(whole.inputs)
    live = [_live(tail.walk, tail.start, tail.scores) for tail in tails]
    needed = [n for n in dict.fromkeys(n for names in live for n in names) if n not in inputs]
    end = max(tail.start for tail in tails)
    head = Engine(replace(whole, layers=whole.layers[:end]), threads)
    engines: list[Engine | None] = [None] * len(tails)
    found: list[list[Array]] = [[] for _ in tails]
    for images in batches:
        x = {feed: images}
        values = {**x, **(head.run(x, needed) if needed else {})}
        for i, tail in enumerate(tails):
            given = {name: values[name] for name in live[i] if name in values}
            engine = engines[i]
            if engine is None:
                engine = engines[i] = Engine(_cut(tail, given), threads)
            scores = engine.run(given, [tail.scores])[tail.scores]
            found[i].append(_flat(scores, tail.blob))
    return [np.concatenate(parts) for parts in found]


def _cut(tail: Tail, given: Mapping[str, Array]) -> Net:
    header = _header(list(given), [array.shape for array in given.values()])
    return Net(header, tail.walk.layers[tail.start :], tail.walk.parameters)


def _header(names: Sequence[str], shapes: Sequence[Sequence[int]]) -> caffe_pb2.NetParameter:
    header = caffe_pb2.NetParameter(input=names)
    for shape in shapes:
        header.input_shape.add(dim=shape)
    return header


def _flat(scores: Array, blob: str) -> Array:
    if scores.ndim < 2 or scores[0].size != scores.shape[1]:
        raise UsageError(
            f"blob `{blob}` does not hold a score for each class",
            hint="name the blob that does with `output`",
        )
    return scores.reshape(len(scores), -1)
