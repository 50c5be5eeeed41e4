"""Checks that several methods' options share. Each raises ValueError with the option's name."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Check that `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")


def check_int(name: str, value: Any, low: int, high: int) -> None:
    """Check that `value` is an integer from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is an integer from {low} to {high}, not {value!r}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Check that `value` is a number with low < value <= high."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low < value <= high:
        raise ValueError(f"{name} is a number above {low:g} and at most {high:g}, not {value!r}")


def check_bool(name: str, value: Any) -> None:
    """Check that `value` is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false, not {value!r}")
