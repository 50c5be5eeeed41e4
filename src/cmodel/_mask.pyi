import numpy as np
from numpy.typing import NDArray

MAX_SIZE: int

def encode(positions: NDArray[np.int64], rows: int, columns: int, period: int) -> bytes: ...
def decode(data: NDArray[np.uint8], rows: int, columns: int, count: int) -> NDArray[np.int64]: ...
