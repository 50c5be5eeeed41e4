"""Levels: which coders a file may have, so that it decodes as fast as is wanted."""

from __future__ import annotations

from cmodel.codecs import CODERS
from cmodel.codecs.context import NANOSECONDS

LEVELS = range(1, 10)
DEFAULT_LEVEL = 6
# Up to this level only the fast coders are used, from the last one on always all.
_FAST_LEVEL = 2
# What decoding a whole file may take on one core between them.
BUDGET_MILLISECONDS = 50
# These decode bit by bit: 20 to 50 times as slow as the others.
_SLOW_CODERS = ("context",)
_SLOW_POSITION_CODERS = ("mask",)


def coders_for(level: int, weights: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the coders of integers, and of a sparse tensor's positions, that a file may have.

    Up to level 2 they are the fast ones, at level 9 all. Between them they are all where a net of
    `weights` numbers would decode within BUDGET_MILLISECONDS if the slowest coded all of them.
    Raises ValueError where there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"levels are {LEVELS[0]} to {LEVELS[-1]}, not {level}")
    within_budget = weights * NANOSECONDS <= BUDGET_MILLISECONDS * 1_000_000
    if level == LEVELS[-1] or (level > _FAST_LEVEL and within_budget):
        return CODERS, _SLOW_POSITION_CODERS
    return tuple(name for name in CODERS if name not in _SLOW_CODERS), ()
