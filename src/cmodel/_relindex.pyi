from typing import Any

import numpy as np
from numpy.typing import NDArray

def symbol_count(positions: NDArray[np.int64], size: int, escape: int) -> int: ...
def encode(
    positions: NDArray[np.int64], escape: int, out: NDArray[np.unsignedinteger[Any]]
) -> None: ...
def decode(
    symbols: NDArray[np.unsignedinteger[Any]], count: int, size: int, escape: int
) -> NDArray[np.int64]: ...
