import numpy as np
from numpy.typing import NDArray

def quantize(
    values: NDArray[np.float32],
    factor: NDArray[np.float32],
    weights: NDArray[np.float32],
    costs: NDArray[np.float32],
    row_levels: NDArray[np.int32],
    column_levels: NDArray[np.int32],
    trellis: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    keep: NDArray[np.uint8] | None = None,
    block: int = 128,
    overlap: int = 0,
    threads: int = 1,
) -> NDArray[np.int16]:
    """Return indices (groups, rows, columns) for values in steps, which are overwritten.

    Column by column, an index k of value v(k) adds e^2 + cost to a row's total, e being (value -
    v(k)) * weights, and takes e times the factor's row from the columns after it. The cheapest path
    is found with one survivor for each state, within `block` columns at a time; the last `overlap`
    of them are decided with the next.

    trellis : next states (8, 2) by the parity of an index, and the quantizer of each state. Where
        all quantizers are 0, v(k) = k, else 2k - quantizer * sign(k). With one state each column
        takes the cheapest index.
    factor : upper triangular (groups, columns, columns); weights (groups, columns) = 1 / diagonal.
    costs : (classes, 2, entries) by the quantizer and |k|; beyond the entries the last one holds.
        The class is (row level + column level) // 8, limited; levels have groups * rows and columns
        entries.
    keep : of the shape of the values; where it is 0, the index is 0.
    threads : the results do not depend on them.
    """
