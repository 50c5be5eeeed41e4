from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

MOST_COLUMNS: int
MOST_ENTRIES: int
MOST_CODED_ROWS: int

def available() -> bool: ...
def run_inner_kernel(repeats: int) -> int: ...
def lanes() -> int: ...
def pack_indices(indices: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
def pack(weights: NDArray[np.float32], groups: int) -> NDArray[np.float32]: ...
def pack_winograd(
    weights: NDArray[np.float32], groups: int, kernel: int, size: int
) -> NDArray[np.float32]: ...

@disjoint_base
class Finish:
    def __init__(
        self,
        outputs: int,
        scale: NDArray[np.float32] | None,
        bias: NDArray[np.float32] | None,
        slope: float | None,
    ) -> None: ...

@disjoint_base
class Layer:
    @property
    def kernel(self) -> str: ...
    @property
    def reads(self) -> int: ...
    @property
    def writes(self) -> int: ...
    @property
    def space(self) -> int: ...
    def run(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        residual: NDArray[np.float32] | None,
        space: NDArray[np.float32],
    ) -> None: ...

@disjoint_base
class Program:
    def __init__(
        self,
        calls: Sequence[
            tuple[Layer, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None]
        ],
        space: NDArray[np.float32],
    ) -> None: ...
    def run(self) -> None: ...

@disjoint_base
class Convolution(Layer):
    def __init__(
        self,
        images: int,
        groups: int,
        channels: int,
        size: Sequence[int],
        out: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        pad: Sequence[int],
        dilation: Sequence[int],
        packed: NDArray[np.float32],
        outputs: int,
        finish: Finish,
        winograd: int,
        threads: int,
    ) -> None: ...

@disjoint_base
class Dense(Layer):
    def __init__(
        self, rows: int, weights: NDArray[np.float32], finish: Finish, threads: int
    ) -> None: ...

@disjoint_base
class Coded(Layer):
    def __init__(
        self,
        rows: int,
        outputs: int,
        inner: int,
        starts: NDArray[np.int64] | None,
        columns: NDArray[np.uint16] | None,
        values: NDArray[np.float32] | None,
        indices: NDArray[np.uint8] | None,
        entries: NDArray[np.float32] | None,
        finish: Finish,
        threads: int,
    ) -> None: ...

@disjoint_base
class SparseConvolution(Layer):
    def __init__(
        self,
        images: int,
        groups: int,
        channels: int,
        size: Sequence[int],
        out: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        pad: Sequence[int],
        dilation: Sequence[int],
        rows: int,
        starts: NDArray[np.int64],
        columns: NDArray[np.int64],
        weights: NDArray[np.float32],
        outputs: int,
        finish: Finish,
        threads: int,
    ) -> None: ...

@disjoint_base
class Pooling(Layer):
    def __init__(
        self,
        planes: int,
        size: Sequence[int],
        out: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        pad: Sequence[int],
        maximum: bool,
        rectify: bool,
        threads: int,
    ) -> None: ...
    @property
    def suits(self) -> bool: ...

@disjoint_base
class Softmax(Layer):
    def __init__(self, images: int, channels: int, positions: int, threads: int) -> None: ...

@disjoint_base
class LRN(Layer):
    def __init__(
        self,
        images: int,
        channels: int,
        positions: int,
        size: int,
        alpha: float,
        k: float,
        threads: int,
    ) -> None: ...

INT8_LEVELS: int
MOST_INT8_INNER: int

@disjoint_base
class Int8Weights:
    def __init__(self, weights: NDArray[np.int8], groups: int, taps: int) -> None: ...
    @property
    def extras(self) -> int: ...
    @property
    def deep(self) -> bool: ...

@disjoint_base
class Int8Convolution(Layer):
    def __init__(
        self,
        images: int,
        groups: int,
        channels: int,
        size: Sequence[int],
        out: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        pad: Sequence[int],
        dilation: Sequence[int],
        weights: Int8Weights,
        offsets: NDArray[np.int32],
        inverse: np.float32,
        zero: int,
        finish: Finish,
        threads: int,
    ) -> None: ...

def pack_int8(weights: NDArray[np.int8]) -> NDArray[np.int8]: ...

@disjoint_base
class Int8Dense(Layer):
    def __init__(
        self,
        rows: int,
        inner: int,
        weights: NDArray[np.int8],
        offsets: NDArray[np.int32],
        inverse: np.float32,
        zero: int,
        finish: Finish,
        threads: int,
    ) -> None: ...
