from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

@disjoint_base
class Convolution:
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
        weights: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        slope: float | None,
        threads: int,
    ) -> None: ...
    @property
    def scratch_bytes(self) -> int: ...
    def run(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> None: ...

@disjoint_base
class Deconvolution:
    def __init__(
        self,
        images: int,
        groups: int,
        outputs: int,
        size: Sequence[int],
        out: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        pad: Sequence[int],
        dilation: Sequence[int],
        weights: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        threads: int,
    ) -> None: ...
    @property
    def scratch_bytes(self) -> int: ...
    def run(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> None: ...

def inner_product(
    x: NDArray[np.float32],
    weights: NDArray[np.float32],
    transposed: bool,
    bias: NDArray[np.float32] | None,
    y: NDArray[np.float32],
    threads: int,
) -> None: ...
