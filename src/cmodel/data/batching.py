"""Batches of a source, prepared ahead by a few threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod

import numpy as np

from cmodel.data.source import FloatArray, IntArray, Source
from cmodel.data.transform import prepare
from cmodel.errors import UsageError
from cmodel.net import InputTransform, Shape

Batch = tuple[FloatArray, IntArray | None]

_PIECE_BYTES = 16 << 20  # decoded images held by a thread at a time, about
_PIECE_ITEMS = 64


@dataclass(frozen=True)
class Inputs:
    """Prepared inputs without their labels: iterating reads the images anew each time.

    Yields float32 (n,C,H,W), for `batch` of `indices` at a time; errors as `batches`.
    """

    source: Source
    indices: IntArray
    transform: InputTransform
    input_shape: Shape | None
    batch: int = 50

    def __iter__(self) -> Iterator[FloatArray]:
        for x, _ in batches(
            self.source, self.indices, self.transform, self.input_shape, self.batch
        ):
            yield x

    def held(self, most: int) -> FloatArray | Inputs:
        """Return all of it as one array (N,C,H,W), where that has at most `most` bytes."""
        array: FloatArray | None = None
        done = 0
        for x in self:
            if array is None:
                shape = (len(self.indices), *x.shape[1:])
                if 4 * prod(shape) > most:
                    return self
                array = np.empty(shape, np.float32)
            array[done : done + len(x)] = x
            done += len(x)
        return self if array is None else array


def batches(
    source: Source,
    indices: IntArray,
    transform: InputTransform,
    input_shape: Shape | None,
    batch: int,
    *,
    threads: int = 1,
) -> Iterator[Batch]:
    """Yield (x, labels) for `batch` indices at a time, in order; the last may be shorter.

    x is float32 (n,C,H,W), labels int64 (n,) or None. Up to `threads` + 1 batches are prepared
    ahead in as many threads; with 0 threads nothing runs ahead. Errors come where their batch
    would.
    """
    if batch < 1:
        raise UsageError(f"a batch has at least one image, not {batch}")
    return _batches(source, indices, transform, input_shape, batch, threads)


def _batches(
    source: Source,
    indices: IntArray,
    transform: InputTransform,
    input_shape: Shape | None,
    batch: int,
    threads: int,
) -> Iterator[Batch]:
    parts = (indices[start : start + batch] for start in range(0, len(indices), batch))
    if threads < 1:
        for part in parts:
            yield _load(source, part, transform, input_shape)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="cmodel-data")
    pending: deque[Future[Batch]] = deque()
    try:
        for part in parts:
            pending.append(pool.submit(_load, source, part, transform, input_shape))
            if len(pending) > threads + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _load(
    source: Source, indices: IntArray, transform: InputTransform, input_shape: Shape | None
) -> Batch:
    """Read and prepare a batch piece by piece: photos are far larger than what is fed."""
    labels = None if source.labels is None else source.labels[indices]
    x: FloatArray | None = None
    start, count = 0, 1
    while start < len(indices):
        piece = indices[start : start + count]
        items = source.read(piece)
        names = [source.names[i] for i in piece]
        part = prepare(items, transform, input_shape, names, planes=source.planes)
        if x is None:
            x = np.empty((len(indices), *part.shape[1:]), dtype=np.float32)
            input_shape = x.shape  # where the net states none, the first image does
        x[start : start + len(part)] = part
        start += len(part)
        largest = max(item.nbytes for item in items)
        count = min(_PIECE_ITEMS, max(1, _PIECE_BYTES // max(1, largest)))
    if x is None:
        raise ValueError("an empty batch")
    return x, labels
