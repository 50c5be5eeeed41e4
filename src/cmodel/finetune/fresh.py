"""New values to start from.

K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", 2015, equation 10: a variance of 2
over the number of inputs keeps the size of what goes through rectifiers.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
import torch

from cmodel.compress.selectors import is_weight, targets_of
from cmodel.finetune.module import NetModule


def draw(module: NetModule, rng: np.random.Generator) -> None:
    """Draw all weights that train anew, whatever their form stores; biases become zero."""
    for target in targets_of(module.net):
        held = module.parameter(target.name)
        shape = module.net.parameters.shape(target.name)
        stored = [p for p in held.parameters() if p.requires_grad]
        if target.layer.type in ("BatchNorm", "BN", "Scale", "PReLU") or not stored:
            continue
        deviation = sqrt(2 / max(prod(shape[1:]), 1)) if is_weight(target) else 0.0
        with torch.no_grad():
            for values in stored:
                drawn = deviation * rng.standard_normal(tuple(values.shape))
                values.copy_(torch.from_numpy(drawn.astype(np.float32)))
