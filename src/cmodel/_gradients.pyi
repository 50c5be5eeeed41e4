from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def max_pool(
    x: NDArray[np.float32],
    gradient: NDArray[np.float32],
    out: NDArray[np.float32],
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    threads: int,
) -> None: ...
def average_pool(
    gradient: NDArray[np.float32],
    out: NDArray[np.float32],
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    threads: int,
) -> None: ...
