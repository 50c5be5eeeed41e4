"""The plan of a run: kernels bound to shapes, and buffers shared by blobs that do not meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from time import perf_counter

import numpy as np

from cmodel._engine import Program
from cmodel.engine.graph import Node, fuse, graph_of, last_uses
from cmodel.engine.ops.op import Array, Call, Kernel, NativeKernel, Op
from cmodel.engine.placing import Place, Placer, join
from cmodel.engine.sections import Section
from cmodel.errors import LimitError
from cmodel.net import Shape, Shapes

# Buffers start on a cache line.
ALIGNMENT = 64


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
        graph = graph_of(section, fed, shapes, ops)
        wanted = {name: graph.final[name] for name in section.outputs}
        fuse(graph, list(wanted.values()))
        parts, joined = join(graph)
        placer = Placer(graph, parts, last_uses(graph, list(wanted.values())))
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

        def bind(node: Node, times: int) -> Kernel:
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

    def _array(self, place: Place, shape: Shape) -> Array:
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
