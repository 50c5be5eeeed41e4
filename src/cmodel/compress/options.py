"""Checks that several methods' options share. Each raises ValueError with the option's name.

What a check allows can also be asked for: within `recorded` every check tells its rule, before it
holds the value to it. Descriptions and schemas of options are made of these rules.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a check allows the option `name`.

    choices : its words, or none where it is a number.
    above, low, high : above < value, or low <= value; value <= high.
    """

    name: str
    choices: tuple[str, ...] = ()
    above: float | None = None
    low: float | None = None
    high: float | None = None


_rules: ContextVar[list[Rule] | None] = ContextVar("_rules", default=None)


@contextmanager
def recorded() -> Iterator[list[Rule]]:
    """Collect the rules of all checks within the block."""
    rules: list[Rule] = []
    token = _rules.set(rules)
    try:
        yield rules
    finally:
        _rules.reset(token)


def _tell(rule: Rule) -> None:
    rules = _rules.get()
    if rules is not None:
        rules.append(rule)


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Check that `value` is one of `choices`."""
    _tell(Rule(name, choices=tuple(choices)))
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")


def check_int(name: str, value: Any, low: int, high: int) -> None:
    """Check that `value` is an integer from `low` to `high`."""
    _tell(Rule(name, low=low, high=high))
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is an integer from {low} to {high}, not {value!r}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Check that `value` is a number with low < value <= high."""
    _tell(Rule(name, above=low, high=high))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low < value <= high:
        raise ValueError(f"{name} is a number above {low:g} and at most {high:g}, not {value!r}")


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Check that `value` is a number with low <= value <= high."""
    _tell(Rule(name, low=low, high=high))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} is a number from {low:g} to {high:g}, not {value!r}")


def check_bool(name: str, value: Any) -> None:
    """Check that `value` is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false, not {value!r}")
