"""The plan of a run: kernels bound to shapes, and buffers shared by blobs that do not meet."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import inf, prod
from time import perf_counter

import numpy as np

from cmodel._engine import Program
from cmodel.engine.ops.op import Alias, Array, Call, Kernel, NativeKernel, Op
from cmodel.engine.sections import Section
from cmodel.errors import LimitError
from cmodel.net import Shape, Shapes

# Buffers start on a cache line.
ALIGNMENT = 64


@dataclass
class _Node:
    """An operation and the values it reads and writes, by number.

    layers : keys of those that it does, the fused ones behind the first.
    """

    op: Op
    bottoms: list[int]
    tops: list[int]
    layers: list[str]


@dataclass
class _Storage:
    """A piece of memory that holds one value after another, several side by side, or several names.

    until : the last node that reads it; inf where it holds an output.
    """

    size: int
    until: float
    buffer: int


@dataclass(frozen=True)
class _Place:
    """Where a value lies: in so many pieces, from the offset on, `step` apart; in floats."""

    storage: _Storage
    offset: int = 0
    pieces: int = 1
    step: int = 0


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
        graph.nodes.append(_Node(ops[layer.key], bottoms, tops, [layer.key]))
        for name, top in section.changes[layer.key].items():
            new, old = graph.final[top], graph.final[name]
            graph.nodes.append(
                _Node(Alias(layer, ()), [new], [graph.value(name, graph.shapes[old])], [layer.key])
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
                node.layers = [*node.layers, *following.layers]
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


@dataclass(frozen=True)
class Step:
    """What a plan does at once.

    layers : keys, the fused ones behind the first. kernel : what computes it, in words.
    shapes : of the tops. space : bytes besides blobs and weights. seconds : median of some runs.
    """

    layers: list[str]
    kernel: str
    shapes: list[Shape]
    space: int
    seconds: float


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


@dataclass(frozen=True)
class _Part:
    """Where a value lies within another: in each of its pieces from the offset on, in floats."""

    whole: int
    offset: int
    pieces: int


def _join(graph: _Graph) -> tuple[dict[int, _Part], set[int]]:
    """Find what can be written at once where a later operation would copy it to.

    Returns the parts that such values are, and the positions of the nodes that then have nothing to
    do. A value in several pieces is none that lies in one, so what writes it has to do so image by
    image, and nothing else may read it.
    """
    made_by = {value: node for node in graph.nodes for value in node.tops}
    readers = Counter(value for node in graph.nodes for value in node.bottoms)
    parts: dict[int, _Part] = {}
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
            parts[value] = _Part(node.tops[0], offset, pieces)
            offset += prod(graph.shapes[value]) // pieces
        done.add(i)
    return parts, done


def _by_image(node: _Node, graph: _Graph, images: int) -> bool:
    """Return whether a node may be run for one of so many images after another."""
    shapes = [graph.shapes[value] for value in node.bottoms]
    return node.op.by_image and len(node.tops) == 1 and all(s[:1] == (images,) for s in shapes)


class _Placer:
    """Gives each value of a graph its place."""

    def __init__(self, graph: _Graph, parts: Mapping[int, _Part], uses: Sequence[float]) -> None:
        self.places: dict[int, _Place] = {}
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

    def _new(self, value: int) -> _Place:
        size = prod(self._graph.shapes[value])
        storage = _Storage(size, self._uses[value], self.allocator.take(size))
        self._held.append(storage)
        return _Place(storage)

    def _place(self, i: int, node: _Node, number: int) -> _Place:
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
            return _Place(self.places[whole].storage, offset, part.pieces, step)
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


def allocate(size: int) -> Array:
    """Return so many floats, starting on a cache line, not touched yet."""
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


@dataclass(frozen=True)
class _Bound:
    """A kernel, and the bottoms and tops of each of its calls.

    layers, shapes : as of `Step`.
    """

    layers: list[str]
    kernel: Kernel
    feeds: list[tuple[list[Array], list[Array]]]
    shapes: list[Shape]

    def calls(self) -> list[Call]:
        """Return the calls of a native kernel."""
        if not isinstance(self.kernel, NativeKernel):
            raise AssertionError("the kernel is none that runs in C")
        return [call for feed in self.feeds for call in self.kernel.calls(*feed)]

    def plain(self) -> list[Callable[[], None]]:
        """Return the calls of any other."""
        if isinstance(self.kernel, NativeKernel):
            raise AssertionError("the kernel runs in C")
        return [partial(self.kernel, *feed) for feed in self.feeds]


class Plan:
    """Kernels and buffers of one section, for one set of shapes of its inputs.

    kernels : in the order of the run.
    native : all of them run in C, without NumPy or BLAS.
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
        wanted = {name: graph.final[name] for name in section.outputs}
        _fuse(graph, list(wanted.values()))
        parts, joined = _join(graph)
        placer = _Placer(graph, parts, _last_uses(graph, list(wanted.values())))
        sizes = placer.allocator.sizes
        _check_memory(4 * sum(sizes))
        self._buffers = [allocate(size) for size in sizes]
        arrays = {
            value: self._array(place, graph.shapes[value]) for value, place in placer.places.items()
        }
        self._inputs = {name: arrays[value] for name, value in graph.inputs.items()}
        self._outputs = {name: arrays[value] for name, value in wanted.items()}
        kept = [
            node for i, node in enumerate(graph.nodes) if i not in joined and not node.op.aliases
        ]
        # How many times each runs, for an image each time.
        turns = [max([placer.places[value].pieces for value in node.tops]) for node in kept]

        def bind(node: _Node, times: int) -> Kernel:
            with np.errstate(all="ignore"):
                return node.op.bind(
                    [_of_one(graph.shapes[value], times) for value in node.bottoms],
                    [_of_one(graph.shapes[value], times) for value in node.tops],
                    threads,
                )

        # Decoding and packing weights takes longer than the first run of most nets.
        with ThreadPoolExecutor(threads) as pool:
            self.kernels = list(pool.map(bind, kept, turns))
        native = [kernel for kernel in self.kernels if isinstance(kernel, NativeKernel)]
        self.native = len(native) == len(self.kernels)
        space = max((kernel.layer.space for kernel in native), default=0)
        # Not touched yet, so it takes no memory before the check.
        scratch = sum(getattr(kernel, "scratch_bytes", 0) for kernel in self.kernels)
        _check_memory(4 * (sum(sizes) + space) + scratch)
        self._space = allocate(space)
        self._bound: list[_Bound] = []
        for node, kernel, times in zip(kept, self.kernels, turns, strict=True):
            bottoms = [_split(arrays[value], times) for value in node.bottoms]
            tops = [_split(arrays[value], times) for value in node.tops]
            shapes_of_tops = [graph.shapes[value] for value in node.tops]
            feeds = [([b[i] for b in bottoms], [t[i] for t in tops]) for i in range(times)]
            self._bound.append(_Bound(node.layers, kernel, feeds, shapes_of_tops))
        self._steps: list[Callable[[], None]] = []
        calls: list[Call] = []
        for bound in self._bound:
            if isinstance(bound.kernel, NativeKernel):
                calls += bound.calls()
                continue
            if calls:
                self._steps.append(Program(calls, self._space).run)
                calls = []
            self._steps += bound.plain()
        if calls:
            self._steps.append(Program(calls, self._space).run)
        self.multiplies = any(
            node.op.multiplies and not isinstance(kernel, NativeKernel)
            for node, kernel in zip(kept, self.kernels, strict=True)
        )

    def _array(self, place: _Place, shape: Shape) -> Array:
        """Return the view of a value: contiguous, or each of its pieces is."""
        buffer, start, size = self._buffers[place.storage.buffer], place.offset, prod(shape)
        if place.pieces == 1:
            return buffer[start : start + size].reshape(shape)
        strides = (4 * place.step, *(4 * prod(shape[i + 1 :]) for i in range(1, len(shape))))
        # Checks that no piece ends beyond the buffer.
        _ = buffer[start + (place.pieces - 1) * place.step + size // place.pieces - 1]
        return np.ndarray(shape, np.float32, buffer, 4 * start, strides)

    @property
    def buffer_bytes(self) -> int:
        """Bytes of all activation buffers."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Run the kernels on the inputs, which are only read; return copies of the outputs."""
        for name, array in self._inputs.items():
            np.copyto(array, feed[name])
        for step in self._steps:
            step()
        return {name: array.copy() for name, array in self._outputs.items()}

    def timed(self, feed: Mapping[str, Array], runs: int) -> list[Step]:
        """Run the kernels so many times on the inputs, each by itself; return what they took."""
        alone = [
            [Program(bound.calls(), self._space).run]
            if isinstance(bound.kernel, NativeKernel)
            else bound.plain()
            for bound in self._bound
        ]
        seconds = np.empty((runs, len(alone)))
        for run in seconds:
            for name, array in self._inputs.items():
                np.copyto(array, feed[name])
            for i, steps_of_kernel in enumerate(alone):
                start = perf_counter()
                for step in steps_of_kernel:
                    step()
                run[i] = perf_counter() - start
        medians = np.median(seconds, axis=0).tolist()
        steps = []
        for bound, median in zip(self._bound, medians, strict=True):
            what, space = _described(bound.kernel)
            steps.append(Step(bound.layers, what, bound.shapes, space, median))
        return steps


def _of_one(shape: Shape, times: int) -> Shape:
    """Return the shape of one of so many images; of all where it is run once."""
    return shape if times == 1 else (1, *shape[1:])


def _split(array: Array, times: int) -> list[Array]:
    """Return an array, or each of so many images of it."""
    return [array] if times == 1 else np.split(array, times)


def _described(kernel: Kernel) -> tuple[str, int]:
    """Return what a kernel is, and the bytes that it takes besides blobs and weights."""
    if isinstance(kernel, NativeKernel):
        return kernel.layer.kernel, 4 * kernel.layer.space
    scratch: int = getattr(kernel, "scratch_bytes", 0)
    return "im2col, BLAS" if scratch else "NumPy", scratch
