"""Levels: which coders a file may have, so that it decodes as fast as is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.codecs import CODERS
from cmodel.codecs.context import NANOSECONDS, NANOSECONDS_A_BIT

LEVELS = range(1, 10)
DEFAULT_LEVEL = 6
# Up to this level only the fast coders are used, from the last one on always all.
_FAST_LEVEL = 2
# What the slow coders of a whole file may take to decode on one core at the default level: twice as
# much at each level above, half as much at each below, between those.
BUDGET_MILLISECONDS = 50
# These decode bit by bit: 20 to 50 times as slow as the others.
_SLOW_CODERS = ("context",)
_SLOW_POSITION_CODERS = ("mask",)


def budget(level: int) -> float:
    """Return how many nanoseconds the slow coders of a file may take at a level.

    Raises ValueError where there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"levels are {LEVELS[0]} to {LEVELS[-1]}, not {level}")
    if level <= _FAST_LEVEL:
        return 0.0
    if level == LEVELS[-1]:
        return float("inf")
    return BUDGET_MILLISECONDS * 1e6 * 2.0 ** (level - DEFAULT_LEVEL)


def nanoseconds(weights: int, size: int) -> int:
    """Estimate what `weights` numbers take to decode that a slow coder codes in `size` bytes."""
    return NANOSECONDS * weights + NANOSECONDS_A_BIT * 8 * size


def coders_for(level: int, weights: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the coders of integers, and of a sparse tensor's positions, that a tensor may have.

    They are all where `weights` numbers could decode within the level's budget, were they coded in
    no bits; else the fast ones. Raises ValueError where there is no such level.
    """
    limit = budget(level)
    if limit and nanoseconds(weights, 0) <= limit:
        return CODERS, _SLOW_POSITION_CODERS
    return tuple(name for name in CODERS if name not in _SLOW_CODERS), ()


def choose(candidates: Sequence[tuple[int, int]], level: int) -> set[int]:
    """Return which tensors get slow coders, of the bytes saved and the nanoseconds of each.

    Those that save the most for their time come first, as long as the budget lasts.
    """
    left = budget(level)
    order = sorted(
        (i for i, (saved, _) in enumerate(candidates) if saved > 0),
        key=lambda i: -candidates[i][0] / max(candidates[i][1], 1),
    )
    chosen = set()
    for i in order:
        if candidates[i][1] <= left:
            chosen.add(i)
            left -= candidates[i][1]
    return chosen
