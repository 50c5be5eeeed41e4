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

def trellis_decode(
    scales: NDArray[np.float32],
    ints: NDArray[np.int8] | NDArray[np.int16],
    threads: int,
    out: NDArray[np.float32],
) -> None:
    """Set out[i] = scales[i // (n / groups)] * level i, rounded once; ints are (rows, columns).

    Levels are those of `cmodel.tensors.trellis.levels`. Raises ValueError where sizes do not fit.
    """
