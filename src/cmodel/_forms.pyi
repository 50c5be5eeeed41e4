import numpy as np
from numpy.typing import NDArray

def index_max(index: NDArray[np.uint8] | NDArray[np.uint16], threads: int) -> int:
    """Return the largest index (1-D, contiguous), 0 where there are none."""

def codebook_decode(
    table: NDArray[np.uint32],
    index: NDArray[np.uint8] | NDArray[np.uint16],
    threads: int,
    out: NDArray[np.uint32],
) -> None:
    """Set out[i] = table[i // (n / groups), index[i]]; table is (groups, entries), index (n,).

    Raises ValueError where an index is out of range, or the sizes do not fit.
    """
