"""What a search is for, what it measures, and what it ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from cmodel.compress.knobs import Changes
from cmodel.errors import UsageError
from cmodel.evaluate import Comparison
from cmodel.net import Net


@dataclass(frozen=True)
class Goal:
    """What has to hold; exactly one is set.

    size : bytes of the file, at most.
    max_loss : points of top-1 accuracy, at most; of agreement with the original without labels.
    max_kl : mean KL(original || packed) in nats, at most.
    """

    size: int | None = None
    max_loss: float | None = None
    max_kl: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in vars(self).values() if value is not None]
        if len(given) != 1 or not isfinite(given[0]) or given[0] <= 0:
            raise UsageError("a goal is one positive number: a size, a loss or a KL")


@dataclass(frozen=True, eq=False)
class Trial:
    """A point of the curve, without its net, which may be large.

    knob, factors, changes : see `with_knob`.
    bytes : of the whole file. comparison, sizes : with the original, and the bytes of each layer's
        weights by parameter name; None and empty where nothing judges.
    """

    knob: float
    factors: Mapping[str, float]
    changes: Changes
    bytes: int
    comparison: Comparison | None
    sizes: Mapping[str, int]

    @property
    def loss(self) -> float:
        """Points of accuracy lost, or of agreement where there are no labels."""
        comparison = self.judged
        return 100 - comparison.agreement if comparison.loss is None else comparison.loss

    @property
    def judged(self) -> Comparison:
        """The comparison, where the search has a judge."""
        if self.comparison is None:
            raise AssertionError("a trial without a judge")
        return self.comparison


@dataclass(frozen=True, eq=False)
class Found:
    """What a search ends with.

    best : the smallest trial that meets the goal; where none does, the nearest to it.
    net : the best trial's.
    reached : whether it meets the goal, as far as the judge can tell.
    trials : all that were measured, in their order.
    """

    best: Trial
    net: Net
    reached: bool
    trials: Sequence[Trial]


def standard_error(trial: Trial) -> float:
    """Return the standard error of the loss, in points: of a paired difference, or of a share."""
    comparison = trial.judged
    images = comparison.images
    if comparison.worse is not None and comparison.better is not None:
        changed = comparison.worse + comparison.better
        excess = comparison.worse - comparison.better
        return 100 * sqrt(max(changed - excess * excess / images, 1.0)) / images
    share = min(max(comparison.agreement / 100, 0.0), 1.0)
    return 100 * sqrt(max(share * (1 - share), 1 / images) / images)
