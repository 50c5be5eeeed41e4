"""Masks that change while the weights below them train on (`retrain.surgery`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmodel.finetune.forms import Trainable, array_of, tensor_of
from cmodel.finetune.loop import Rule
from cmodel.tensors import Dense, Sparse

if TYPE_CHECKING:
    from cmodel.finetune.steps.surgery import Options

# The thresholds below and above which a weight goes and comes back (section 3.4).
_BELOW, _ABOVE = 0.9, 1.1


class Spliced(Trainable):
    """Weights under a mask; those that are masked get the gradients of the masked net too."""

    def __init__(self, values: NDArray[Any], threshold: float) -> None:
        super().__init__()
        self.values = nn.Parameter(tensor_of(values))
        self.threshold = threshold
        self.register_buffer("mask", tensor_of(values != 0))

    def forward(self) -> Tensor:
        """Return the masked values."""
        values = self.values
        return (values * self.mask).detach() + values - values.detach()

    def change(self) -> None:
        """Prune and splice (equation 4)."""
        size = self.values.detach().abs()
        self.mask &= size >= _BELOW * self.threshold
        self.mask |= size >= _ABOVE * self.threshold

    def density(self) -> float:
        """Share of the weights that are there."""
        return float(self.mask.double().mean())

    def form(self) -> Sparse:
        """Return a sparse form."""
        values = array_of(self.values * self.mask)
        flat = values.reshape(-1)
        positions = np.flatnonzero(flat).astype(np.int64)
        return Sparse(values.shape, positions, Dense(flat[positions]))


def spliced(values: NDArray[Any], deviations: float) -> Spliced:
    """Return weights with the threshold that their magnitudes give."""
    size = np.abs(values[values != 0], dtype=np.float64)
    threshold = float(size.mean() + deviations * size.std()) if size.size else 0.0
    return Spliced(values, max(threshold, 0.0))


class SplicingRule(Rule):
    """Changes all masks with a probability that falls from iteration to iteration."""

    def __init__(self, held: Sequence[Spliced], options: Options, seed: int) -> None:
        self.held, self.options, self.seed = held, options, seed
        self.last = 0

    def start(self, iterations: int) -> None:
        """Get to know when the masks come to rest."""
        self.last = round(self.options.until * iterations)

    def after_iteration(self, iteration: int) -> None:
        """Change the masks, perhaps."""
        probability = (1 + self.options.gamma * iteration) ** -self.options.power
        draw = np.random.Generator(np.random.PCG64([self.seed, 1, iteration])).random()
        if iteration < self.last and draw < probability:
            with torch.no_grad():
                for one in self.held:
                    one.change()

    def after_epoch(self, epoch: int) -> str:
        """Tell how much is there."""
        there = sum(int(one.mask.sum()) for one in self.held)
        return f"density {there / max(sum(one.mask.numel() for one in self.held), 1):.4f}"
