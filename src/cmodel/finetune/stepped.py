"""Uniform grids whose step is learned, straight through the rounding, and what their levels cost.

Straight-through rounding with learned steps: S. Esser et al., "Learned Step Size Quantization",
2020, equations 1-3. The rate in the loss follows D. Oktay et al., "Scalable Model Compression by
Entropy Penalized Reparameterization", 2020, section 2, with a model of the probabilities that
stands for the context coder of the container: whether a level is zero depends on how many of its
row and of its column are not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cmodel.finetune.forms import Trainable, array_of
from cmodel.tensors import Dense, Linear

# How many elements of average density a row or column counts beside its own.
_PRIOR = 4.0
_LN2 = math.log(2)
# Steps outside of this range are stored as float32.
_HALF = (1e-4, 6e4)


class Stepped(Trainable):
    """Values `step * round(w / step)`: w and the step train.

    values : float32, where training starts from; `mask` (the same shape) keeps zeros.
    step : where the step starts. limit : the largest level.
    """

    def __init__(
        self, values: np.ndarray, step: float, limit: int, mask: np.ndarray | None
    ) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.from_numpy(np.array(values, np.float32, order="C")))
        self.log_step = nn.Parameter(torch.tensor(math.log(step), dtype=torch.float32))
        self.limit = limit
        kept = torch.ones(()) if mask is None else torch.from_numpy(mask.astype(np.float32))
        self.register_buffer("mask", kept, persistent=False)

    def levels(self) -> Tensor:
        """Return the levels as floats, without gradients."""
        with torch.no_grad():
            units = self.values * self.mask / torch.exp(self.log_step)
            return units.round().clamp(-self.limit, self.limit)

    def forward(self) -> Tensor:
        """Return the rounded values; gradients as if nothing had been rounded."""
        step = torch.exp(self.log_step)
        units = (self.values * self.mask / step).clamp(-self.limit, self.limit)
        return step * (units + (units.round() - units).detach())

    def form(self) -> Linear:
        """Return fixed point of one step."""
        levels = array_of(self.levels())
        step = math.exp(float(self.log_step.detach()))
        half = _HALF[0] < step < _HALF[1]
        scale: NDArray[Any] = np.array([step], np.float16 if half else np.float32)
        kind = np.int8 if self.limit <= 127 else np.int16
        return Linear(Dense(scale), np.zeros(1, np.int32), levels.astype(kind))


class Rate:
    """Bits of the levels of one parameter, as far as its own rows and columns tell them.

    With n_i and m_j the shares of non-zero levels in row i and column j (smoothed towards the share
    n of all), the odds of a non-zero level are odds(n_i) odds(m_j) / odds(n); the magnitude follows
    a geometric distribution, the sign takes a bit.
    """

    def __init__(self, held: Stepped) -> None:
        self.held = held
        self._first = torch.zeros(())
        self._further = 0.0

    def refresh(self) -> float:
        """Measure the frequencies anew; return the bits of the levels as they are."""
        levels = self.held.levels().abs()
        rows = levels.shape[0] if levels.ndim > 1 else 1
        matrix = levels.reshape(rows, -1)
        used = (matrix > 0).float()
        odds = self._odds(used)
        zero = F.softplus(odds) / _LN2
        count = float(used.sum())
        mean = float(matrix.sum()) / count if count else 1.0
        ratio = (mean - 1 + 0.02) / (mean + 0.02)
        unit = -math.log2(1 - ratio)
        self._further = -math.log2(ratio)
        other = zero - odds / _LN2 + 1 + unit
        self._first = (other - zero).clamp(min=0).reshape(levels.shape)
        above = (matrix - 1).clamp(min=0).sum()
        return float(torch.where(used > 0, other, zero).sum() + above * self._further)

    def __call__(self) -> Tensor:
        """Return bits up to a constant, straight lines between levels: they give the gradients."""
        held = self.held
        size = (held.values * held.mask).abs() / torch.exp(held.log_step)
        slope = torch.where(size.detach() < 1, self._first, self._further)
        return (slope * size).sum()

    @staticmethod
    def _odds(used: Tensor) -> Tensor:
        """Return the log odds of each level to be other than zero."""
        rows, columns = used.shape
        share = (used.mean() * used.numel() + 0.5) / (used.numel() + 1)
        total = torch.logit(share)
        odds = total.expand(used.shape)
        if rows > 1 and columns > 1:
            by_row = (used.sum(1) + _PRIOR * share) / (columns + _PRIOR)
            by_column = (used.sum(0) + _PRIOR * share) / (rows + _PRIOR)
            odds = torch.logit(by_row)[:, None] + torch.logit(by_column) - total
        return odds
