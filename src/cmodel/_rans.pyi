from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALPHABET: int

def encode(
    symbols: NDArray[np.unsignedinteger[Any]],
    chunk_log2: int,
    lanes: int,
    table: NDArray[np.uint8] | None,
) -> bytes: ...
def decode(
    data: NDArray[np.uint8],
    count: int,
    dtype: DTypeLike,
    threads: int,
    table: NDArray[np.uint8] | None,
) -> NDArray[np.unsignedinteger[Any]]: ...
def table_size(data: NDArray[np.uint8]) -> int: ...
def table_of(histogram: NDArray[np.uint64]) -> bytes: ...
def frequencies(table: NDArray[np.uint8]) -> NDArray[np.uint16]: ...
def cost(histogram: NDArray[np.uint64], table: NDArray[np.uint8]) -> int: ...
