from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def max_pool(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    positions: NDArray[np.float32] | None,
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    rows: NDArray[np.float32],
    threads: int,
) -> None: ...
def average_pool(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    rows: NDArray[np.float64],
    threads: int,
) -> None: ...
def lrn_across(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    size: int,
    alpha: float,
    beta: float,
    k: float,
    threads: int,
) -> None: ...
def lrn_within(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    size: int,
    alpha: float,
    beta: float,
    threads: int,
) -> None: ...
def affine(
    x: NDArray[np.float32],
    shift: NDArray[np.float32],
    factor: NDArray[np.float32],
    offset: NDArray[np.float32],
    y: NDArray[np.float32],
    threads: int,
) -> None: ...
