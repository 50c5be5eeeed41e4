from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALPHABET: int
SMALL: int
MIN_CHUNK_LOG2: int
MAX_CHUNK_LOG2: int

def encode(symbols: NDArray[np.unsignedinteger[Any]], chunk_log2: int) -> bytes: ...
def decode(
    data: NDArray[np.uint8], count: int, dtype: DTypeLike, threads: int
) -> NDArray[np.unsignedinteger[Any]]: ...
def code_lengths(histogram: NDArray[np.uint64]) -> NDArray[np.uint8]: ...
def encoded_size(histogram: NDArray[np.uint64]) -> int: ...
