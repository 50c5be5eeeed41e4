from typing import Any

import numpy as np
from numpy.typing import NDArray

def encode(ints: NDArray[np.unsignedinteger[Any]], width: int) -> bytes: ...
def decode(data: NDArray[np.uint8], width: int, out: NDArray[np.unsignedinteger[Any]]) -> None: ...
