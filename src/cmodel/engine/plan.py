"""The plan of a run: kernels bound to shapes, and buffers shared by blobs that do not meet."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, prod

import numpy as np

from cmodel.engine.ops.op import Alias, Array, Kernel, Op, SpaceKernel
from cmodel.engine.sections import Section
from cmodel.errors import LimitError
from cmodel.net import Shape, Shapes

# Buffers start on a cache line.
ALIGNMENT = 64


@dataclass
class _Node:
    """An operation and the values it reads and writes, by number."""

    op: Op
    bottoms: list[int]
    tops: list[int]


@dataclass
class _Storage:
    """A piece of memory that holds one value after another, or several names for one.

    until : the last node that reads it; inf where it is an output.
    source : the input blob whose array it is, never written to.
    """

    size: int
    until: float
    source: str | None = None
    buffer: int = -1


@dataclass
class _Step:
    kernel: Kernel
    bottoms: list[int]
    tops: list[int]


@dataclass
class _Graph:
    """A value is what one layer writes to a blob: a layer in place makes a new one.

    shapes : of each value. inputs : values by input blob. final : values by blob name, at the end.
    """

    nodes: list[_Node] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    final: dict[str, int] = field(default_factory=dict)

    def value(self, name: str, shape: Shape) -> int:
        self.shapes.append(shape)
        self.final[name] = len(self.shapes) - 1
        return self.final[name]


def _graph(
    section: Section, fed: Mapping[str, Shape], shapes: Shapes, ops: Mapping[str, Op]
) -> _Graph:
    graph = _Graph()
    for name in fed:
        graph.inputs[name] = graph.value(name, fed[name])
    for layer in section.layers:
        bottoms = [graph.final[name] for name in layer.bottoms]
        tops = []
        for name, shape in zip(layer.tops, shapes.tops[layer.key], strict=True):
            if shape is None:
                raise AssertionError(f"layer `{layer.key}` has an operation but no shape rule")
            tops.append(graph.value(name, shape))
        graph.nodes.append(_Node(ops[layer.key], bottoms, tops))
        for name, top in section.changes[layer.key].items():
            new, old = graph.final[top], graph.final[name]
            graph.nodes.append(
                _Node(Alias(layer, ()), [new], [graph.value(name, graph.shapes[old])])
            )
    return graph


def _last_uses(graph: _Graph, wanted: Sequence[int]) -> list[float]:
    """Return for each value the number of the node that uses it last."""
    uses: list[float] = [-1] * len(graph.shapes)
    for i, node in enumerate(graph.nodes):
        for value in (*node.bottoms, *node.tops):
            uses[value] = i
    for value in wanted:
        uses[value] = inf
    return uses


def _fuse(graph: _Graph, wanted: Sequence[int]) -> None:
    """Let operations take over those that follow them and are the only readers of their top."""
    readers: dict[int, list[_Node]] = {}
    for node in graph.nodes:
        for value in node.bottoms:
            readers.setdefault(value, []).append(node)
    kept = set(wanted)
    fused: set[int] = set()
    there = set(graph.inputs.values())
    for node in graph.nodes:
        if id(node) not in fused:
            while (following := _only_reader(node, readers, kept)) is not None:
                others = [value for value in following.bottoms if value != node.tops[0]]
                op = node.op.followed(following.op) if there.issuperset(others) else None
                if op is None:
                    break
                fused.add(id(following))
                node.op, node.tops = op, following.tops
                node.bottoms = [*node.bottoms, *others]
        there.update(node.tops)
    graph.nodes = [node for node in graph.nodes if id(node) not in fused]


def _only_reader(
    node: _Node, readers: Mapping[int, Sequence[_Node]], kept: Collection[int]
) -> _Node | None:
    if len(node.tops) != 1 or node.tops[0] in kept:
        return None
    found = readers.get(node.tops[0], [])
    one = len(found) == 1 and len(found[0].tops) == 1
    return found[0] if one else None


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


def _place(graph: _Graph, uses: Sequence[float]) -> tuple[list[_Storage], list[int]]:
    """Return the storage of each value, and the sizes of the buffers."""
    places: dict[int, _Storage] = {}
    for name, value in graph.inputs.items():
        places[value] = _Storage(prod(graph.shapes[value]), uses[value], source=name)
    allocator = _Allocator()
    held: list[_Storage] = []
    for i, node in enumerate(graph.nodes):
        for number, value in enumerate(node.tops):
            size = prod(graph.shapes[value])
            first = places[node.bottoms[0]] if node.bottoms else None
            if first is not None and node.op.aliases:
                first.until = max(first.until, uses[value])
                places[value] = first
            elif (
                first is not None
                and node.op.overwrites
                and number == 0
                and first.source is None
                and first.size == size
                and first.until == i
                and all(places[other] is not first for other in node.bottoms[1:])
            ):
                first.until = uses[value]
                places[value] = first
            else:
                place = _Storage(size, uses[value], buffer=allocator.take(size))
                places[value] = place
                held.append(place)
        for place in [place for place in held if place.until <= i]:
            allocator.give_back(place.buffer)
            held.remove(place)
    # A value that was fused away has no place of its own.
    unused = _Storage(0, -1)
    return [places.get(value, unused) for value in range(len(graph.shapes))], allocator.sizes


def _allocate(size: int) -> Array:
    raw = np.empty(size * 4 + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * 4].view(np.float32)


def _check_memory(needed: int) -> None:
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > limit:
        raise LimitError(
            f"the blobs and kernels need {needed / 1e9:,.1f} GB of memory, this machine has "
            f"{limit / 1e9:,.1f} GB",
            hint="feed a smaller batch or smaller images",
        )


class Plan:
    """Kernels and buffers of one section, for one set of shapes of its inputs.

    multiplies : a kernel may call BLAS, whose threads are to be held at one meanwhile.
    """

    def __init__(
        self,
        section: Section,
        fed: Mapping[str, Shape],
        shapes: Shapes,
        ops: Mapping[str, Op],
        threads: int,
    ) -> None:
        graph = _graph(section, fed, shapes, ops)
        self._wanted = {name: graph.final[name] for name in section.outputs}
        outputs = list(self._wanted.values())
        _fuse(graph, outputs)
        places, sizes = _place(graph, _last_uses(graph, outputs))
        _check_memory(4 * sum(sizes))
        self._buffers = [_allocate(size) for size in sizes]
        self._arrays: list[Array | None] = []
        # Values that lie on a fed array: number, input, shape.
        self._fed: list[tuple[int, str, Shape]] = []
        for value, (place, shape) in enumerate(zip(places, graph.shapes, strict=True)):
            if place.buffer >= 0:
                buffer = self._buffers[place.buffer]
                self._arrays.append(buffer[: place.size].reshape(shape))
            else:
                self._arrays.append(None)
                if place.source is not None:
                    self._fed.append((value, place.source, shape))
        kept = [node for node in graph.nodes if not node.op.aliases]
        self._steps = [
            _Step(
                node.op.bind(
                    [graph.shapes[value] for value in node.bottoms],
                    [graph.shapes[value] for value in node.tops],
                    threads,
                ),
                node.bottoms,
                node.tops,
            )
            for node in kept
        ]
        # Not touched yet, so it takes no memory before the check.
        scratch = sum(getattr(step.kernel, "scratch_bytes", 0) for step in self._steps)
        sharing = [step.kernel for step in self._steps if isinstance(step.kernel, SpaceKernel)]
        space = max((kernel.space for kernel in sharing), default=0)
        _check_memory(4 * (sum(sizes) + space) + scratch)
        shared = _allocate(space)
        for kernel in sharing:
            kernel.attach(shared)

        self.multiplies = any(
            node.op.multiplies and not isinstance(step.kernel, SpaceKernel)
            for node, step in zip(kept, self._steps, strict=True)
        )

    @property
    def buffer_bytes(self) -> int:
        """Bytes of all activation buffers."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Run the kernels on the inputs, which are only read; return copies of the outputs."""
        arrays = list(self._arrays)
        for value, name, shape in self._fed:
            arrays[value] = feed[name].reshape(shape)
        for step in self._steps:
            step.kernel([arrays[i] for i in step.bottoms], [arrays[i] for i in step.tops])  # type: ignore[misc]
        return {name: arrays[value].copy() for name, value in self._wanted.items()}  # type: ignore[union-attr]
