"""Where the values of a graph lie: buffers shared by those that do not meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from cmodel.engine.graph import Graph, Node


@dataclass
class _Storage:
    """A piece of memory that holds one value after another, several side by side, or several names.

    until : the last node that reads it; inf where it holds an output.
    """

    size: int
    until: float
    buffer: int


@dataclass(frozen=True)
class Place:
    """Where a value lies: in so many pieces, from the offset on, `step` apart; in floats."""

    storage: _Storage
    offset: int = 0
    pieces: int = 1
    step: int = 0


@dataclass(frozen=True)
class Part:
    """Where a value lies within another: in each of its pieces from the offset on, in floats."""

    whole: int
    offset: int
    pieces: int


def join(graph: Graph) -> tuple[dict[int, Part], set[int]]:
    """Find what can be written at once where a later operation would copy it to.

    Returns the parts that such values are, and the positions of the nodes that then have nothing to
    do. A value in several pieces is none that lies in one, so what writes it has to do so image by
    image, and nothing else may read it.
    """
    made_by = {value: node for node in graph.nodes for value in node.tops}
    readers = Counter(value for node in graph.nodes for value in node.bottoms)
    parts: dict[int, Part] = {}
    done: set[int] = set()
    for i, node in enumerate(graph.nodes):
        pieces = node.op.joins([graph.shapes[value] for value in node.bottoms])
        if not pieces:
            continue
        owners = []
        alone = True
        for value in node.bottoms:
            chain = [value]
            while value in made_by and made_by[value].op.aliases:
                value = made_by[value].bottoms[0]
                chain.append(value)
            owners.append(value)
            alone = alone and all(
                readers[v] == 1 and graph.shapes[v][:1] == (pieces,) for v in chain
            )
        free = all(value in made_by and value not in parts for value in owners)
        if not free or len(set(owners)) < len(owners):
            continue
        if pieces > 1 and not (alone and all(_by_image(made_by[v], graph, pieces) for v in owners)):
            continue
        offset = 0
        for value in owners:
            parts[value] = Part(node.tops[0], offset, pieces)
            offset += prod(graph.shapes[value]) // pieces
        done.add(i)
    return parts, done


def _by_image(node: Node, graph: Graph, images: int) -> bool:
    """Return whether a node may be run for one of so many images after another."""
    shapes = [graph.shapes[value] for value in node.bottoms]
    return node.op.by_image and len(node.tops) == 1 and all(s[:1] == (images,) for s in shapes)


class _Allocator:
    """Gives storages buffers, and takes them back when the last reader is done."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._free: list[int] = []

    def take(self, size: int) -> int:
        """Return the number of a free buffer: the closest in size, made larger if need be."""
        if not self._free:
            self.sizes.append(size)
            return len(self.sizes) - 1
        best = min(
            self._free,
            # One that is large enough wastes the least; else the one that grows the least.
            key=lambda i: (self.sizes[i] < size, abs(self.sizes[i] - size)),
        )
        self._free.remove(best)
        self.sizes[best] = max(self.sizes[best], size)
        return best

    def give_back(self, buffer: int) -> None:
        """Make a buffer free again."""
        self._free.append(buffer)


class Placer:
    """Gives each value of a graph its place."""

    def __init__(self, graph: Graph, parts: Mapping[int, Part], uses: Sequence[float]) -> None:
        self.places: dict[int, Place] = {}
        self.allocator = _Allocator()
        self._graph = graph
        self._parts = parts
        self._uses = list(uses)
        self._held: list[_Storage] = []
        for value in range(len(graph.shapes)):
            whole = self._whole(value)[0]
            self._uses[whole] = max(self._uses[whole], uses[value])
        for value in graph.inputs.values():
            self.places[value] = self._new(value)
        for i, node in enumerate(graph.nodes):
            for number, value in enumerate(node.tops):
                self.places[value] = self._place(i, node, number)
            for storage in [storage for storage in self._held if storage.until <= i]:
                self.allocator.give_back(storage.buffer)
                self._held.remove(storage)

    def _whole(self, value: int) -> tuple[int, int]:
        """Return the value that this one is a part of, at last, and its offset there."""
        offset = 0
        while value in self._parts:
            part = self._parts[value]
            value, offset = part.whole, offset + part.offset
        return value, offset

    def _new(self, value: int) -> Place:
        size = prod(self._graph.shapes[value])
        storage = _Storage(size, self._uses[value], self.allocator.take(size))
        self._held.append(storage)
        return Place(storage)

    def _place(self, i: int, node: Node, number: int) -> Place:
        """Return the place of a top of node `i`."""
        value = node.tops[number]
        first = self.places[node.bottoms[0]] if node.bottoms else None
        if first is not None and node.op.aliases:
            first.storage.until = max(first.storage.until, self._uses[value])
            return first
        whole, offset = self._whole(value)
        if whole != value:
            if whole not in self.places:
                self.places[whole] = self._new(whole)
            part = self._parts[value]
            step = prod(self._graph.shapes[part.whole]) // part.pieces
            return Place(self.places[whole].storage, offset, part.pieces, step)
        if value in self.places:
            return self.places[value]
        if (
            first is not None
            and node.op.overwrites
            and number == 0
            and first.storage.size == prod(self._graph.shapes[value])
            and first.storage.until == i
            and all(self.places[other].storage is not first.storage for other in node.bottoms[1:])
        ):
            first.storage.until = self._uses[value]
            return first
        return self._new(value)
