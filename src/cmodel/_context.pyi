import numpy as np
from numpy.typing import NDArray

from cmodel.codecs.types import Unsigned

def encode(
    ints: Unsigned, columns: int, zero: int, width: int, period: int, trellis: bool
) -> bytes: ...
def columns_of(data: NDArray[np.uint8], count: int, item: int) -> int: ...
def decode(data: NDArray[np.uint8], out: Unsigned) -> None: ...
