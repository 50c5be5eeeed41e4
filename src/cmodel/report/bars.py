"""Small charts within a line, which stretch with it (places are percents), or within a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmodel.report.markup import Markup, join, tag
from cmodel.report.palette import colour_class
from cmodel.report.scales import Scale, bytes_of, linear, text_of


def stacked(parts: Sequence[tuple[str, int, str]], whole: float, height: int = 16) -> Markup:
    """Return a bar of parts (name, size, CSS class) on a scale where `whole` is the full width."""
    rects = []
    start = 0.0
    for name, size, style in parts:
        if size <= 0 or whole <= 0:
            continue
        title = tag("title", f"{name}: {bytes_of(size)}")
        width = 100 * size / whole
        rects.append(
            tag(
                "rect",
                title,
                x=f"{start:.3f}%",
                y=2,
                width=f"{width:.3f}%",
                height=height - 4,
                class_=style,
            )
        )
        start += width
    return tag("svg", *rects, width="100%", height=height, aria_hidden="true")


def bar_with_mark(value: float, mark: float | None, whole: float, title: str) -> Markup:
    """Return a bar and a mark to hold it against, on a scale where `whole` is the full width."""
    bar = tag(
        "rect",
        tag("title", title),
        x=0,
        y=4,
        height=8,
        width=_percent(value, whole),
        class_="bar c0",
    )
    line = None
    if mark is not None:
        place = _percent(mark, whole)
        line = tag("line", x1=place, x2=place, y1=0, y2=16, class_="mark", stroke_width=2)
    return tag("svg", bar, line, width="100%", height=16, aria_hidden="true")


def dot_on_axis(value: float, axis: Scale, title: str) -> Markup:
    """Return a dot at the end of a thin line; the axis goes from 0 to 100."""
    place = f"{axis(value):.3f}%"
    grid = (_upright(axis, tick) for tick in axis.ticks)
    line = tag("line", x1="0%", x2=place, y1=8, y2=8, class_="line c0")
    dot = tag("circle", tag("title", title), cx=place, cy=8, r=4.5, class_="bar c0")
    return tag("svg", *grid, line, dot, width="100%", height=16, aria_hidden="true")


def axis_labels(axis: Scale, factor: float, suffix: str) -> Markup:
    """Return the ticks of an axis from 0 to 100 as text, in units of 1 / factor."""
    labels = (
        tag(
            "text",
            f"{text_of(factor * tick)}{suffix}",
            x=f"{axis(tick):.3f}%",
            y=12,
            text_anchor="start" if axis(tick) < 4 else "end" if axis(tick) > 96 else "middle",
        )
        for tick in axis.ticks
    )
    return tag("svg", *labels, width="100%", height=16, aria_hidden="true")


def histogram_svg(facts: Mapping[str, Any], marks: Sequence[float] | None, title: str) -> Markup:
    """Return a histogram of `histogram`; `marks` are the values that weights can take."""
    width, height = 184, 116
    low, high, counts = facts["low"], facts["high"], facts["counts"]
    x = linear(low, high, 1, width - 1, 3)
    bottom = height - 26
    top = max(counts)
    step = (x.stop - x.start) / len(counts)
    # One path for all bars: cards are many.
    bars = "".join(
        f"M{x.start + i * step:.1f} {bottom}v-{max(0.6, count / top * (bottom - 6)):.1f}"
        f"h{step * 0.86:.1f}V{bottom}z"
        for i, count in enumerate(counts)
        if count
    )
    ticks = "".join(
        f"M{x(level):.1f} {bottom + 2}v6" for level in marks or () if low <= level <= high
    )
    # Ends would be cut off.
    labels = [tick for tick in x.ticks if 12 <= x(tick) <= width - 12]
    return tag(
        "svg",
        tag("path", d=bars, class_="bar c0"),
        tag("line", x1=x.start, x2=x.stop, y1=bottom + 0.5, y2=bottom + 0.5, class_="axis"),
        tag("path", d=ticks, class_="level c1") if ticks else None,
        *(
            tag("text", text_of(tick), x=x(tick), y=height - 5, text_anchor="middle")
            for tick in labels
        ),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=title,
    )


def swatch(style: str) -> Markup:
    """Return a small square for a legend."""
    rect = tag("rect", width=11, height=11, class_=style)
    return tag("svg", rect, width=11, height=11, class_="swatch", aria_hidden="true")


def series(number: int) -> str:
    """Return the CSS class of a filled part of a series."""
    return f"bar {colour_class(number)}"


def _percent(value: float, whole: float) -> str:
    return f"{100 * min(max(value / whole, 0.0), 1.0) if whole > 0 else 0:.3f}%"


def _upright(axis: Scale, tick: float) -> Markup:
    place = f"{axis(tick):.3f}%"
    return join(tag("line", x1=place, x2=place, y1=-4, y2=20, class_="grid"))
