from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALPHABET: int
SMALL: int
MIN_CHUNK_LOG2: int
MAX_CHUNK_LOG2: int

def encode(
    symbols: NDArray[np.unsignedinteger[Any]], chunk_log2: int, table: NDArray[np.uint8] | None
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
def code_lengths(histogram: NDArray[np.uint64]) -> NDArray[np.uint8]: ...
def encoded_size(histogram: NDArray[np.uint64], table: NDArray[np.uint8] | None) -> int: ...
