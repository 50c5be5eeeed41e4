"""Binary weights: the sign, times one scale.

Y. Gong, L. Liu, M. Yang, L. Bourdev, "Compressing Deep Convolutional Networks using Vector
Quantization", 2014, section 3.2, equation 3: W' is 1 where W >= 0 and -1 elsewhere. The scale that
is best in the mean square is the mean magnitude (M. Rastegari et al., "XNOR-Net", 2016, equation
6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cmodel.compress.options import check_choice, check_int
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import GRANULARITIES, groups_of, stored_values, with_stored_values
from cmodel.tensors import Codebook, Dense


@dataclass(frozen=True)
class Options:
    """What shares a scale.

    granularity : "tensor" for one scale, "channel" for one for each index of axis 0, "group" for
        one for each `group_size` successive weights.
    group_size : has to divide the number of weights.
    """

    granularity: str = "channel"
    group_size: int = 64

    def __post_init__(self) -> None:
        check_choice("granularity", self.granularity, GRANULARITIES)
        check_int("group_size", self.group_size, 1, 1 << 30)


@method("quantize.binary", Options)
def quantize_binary(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter, or with one scale the stored values of a Sparse or Hashed one."""
    values = stored_values(task.form, task.name, "quantize.binary")
    if not values.size:
        return Outcome(task.form)
    options = task.options
    if not isinstance(task.form, Dense):
        options = replace(options, granularity="tensor")
    groups = groups_of(values.shape, options.granularity, options.group_size, task.name)
    scales = np.abs(values.reshape(groups, -1).astype(np.float64)).mean(axis=1)
    # Subtracting from zero keeps a scale of zero from becoming -0.
    centroids = np.stack([0 - scales, scales], axis=1).astype(np.float32)
    codebook = Codebook(Dense(centroids), (values >= 0).astype(np.uint8))
    return Outcome(with_stored_values(task.form, codebook))
