"""Axes: from values to places, with ticks where a reader expects them; numbers as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Scale:
    """Places values between `start` and `stop` pixels.

    low, high : the values that stand there.
    bend : maps values to what is then placed evenly; strictly increasing.
    ticks : values to mark, within low and high.
    """

    low: float
    high: float
    start: float
    stop: float
    bend: Callable[[float], float]
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Return the place of a value; what lies outside stands at the end."""
        low, high = self.bend(self.low), self.bend(self.high)
        part = (self.bend(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + part * (self.stop - self.start)


def linear(low: float, high: float, start: float, stop: float, count: int = 5) -> Scale:
    """Return an even scale; low and high stay as they are."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    step = _nice((high - low) / max(count, 1))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Scale(low, high, start, stop, float, ticks)


def logarithmic(low: float, high: float, start: float, stop: float, count: int = 6) -> Scale:
    """Return a logarithmic scale of positive values; low and high stay as they are."""
    low = max(low, 1e-12)
    high = max(high, low * 1.5)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = _decades(low, high, steps)
        if len(ticks) <= count:
            break
    ticks = ticks[:: -(-len(ticks) // count)] if len(ticks) > count else ticks
    return Scale(low, high, start, stop, math.log10, tuple(ticks))


def bent(low: float, high: float, start: float, stop: float, unit: float) -> Scale:
    """Return a scale that is even around zero, within +-unit, and logarithmic far from it."""
    low, high = min(low, 0.0), max(high, unit)
    sizes = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(unit)), 4)
        for factor in (1.0, 3.0)
    ]
    values = sorted({0.0, *sizes, *(-size for size in sizes)})
    ticks = tuple(value for value in values if low <= value <= high)

    def bend(value: float) -> float:
        return math.asinh(value / unit)

    return Scale(low, high, start, stop, bend, ticks)


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)


def _decades(low: float, high: float, steps: Sequence[float]) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = (step * 10.0**power for power in range(first, last + 1) for step in steps)
    return [value for value in every if low * 0.9999 <= value <= high * 1.0001]


def text_of(value: float) -> str:
    """Return a number as a tick or a cell shows it: three digits, a true minus sign."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        text = f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    else:
        digits = max(0, 2 - math.floor(math.log10(size)))
        text = f"{value:.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)


def bytes_of(size: float) -> str:
    """Return a size as people read it: KB = 1000 bytes, MB = 10^6."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        # 999,999 bytes are 1.00 MB, not 1000.0 KB.
        if size >= factor * 0.9995:
            number = size / factor
            return f"{number:.{0 if number >= 99.95 else 1 if number >= 9.995 else 2}f} {unit}"
    return f"{size:.0f} B"


def points_of(points: float) -> str:
    """Return points of a percentage, with two decimals."""
    return f"{points + 0.0:.2f}".replace("-0.00", "0.00").replace("-", MINUS)


def ratio_of(ratio: float) -> str:
    """Return a compression ratio."""
    return f"{ratio:.0f}{TIMES}" if ratio >= 99.5 else f"{ratio:.1f}{TIMES}"
