"""Colours and markers: told apart without colour vision too, on light and dark ground."""

from __future__ import annotations

import math

from cmodel.report.markup import Markup, tag

# Series in the order of use: (light, dark).
_SERIES = (
    ("#0b6bb0", "#5aaef0"),
    ("#cf5312", "#f58b4f"),
    ("#0a8f6a", "#3ecf9f"),
    ("#b2569a", "#e493cc"),
    ("#b98300", "#f0c04a"),
    ("#3f7f93", "#7cc4d8"),
    ("#6b5bd0", "#a99cff"),
    ("#737a83", "#a7afb9"),
)
COLOURS = len(_SERIES)
_INKS = {
    "paper": ("#ffffff", "#14171b"),
    "panel": ("#f6f7f9", "#1c2026"),
    "ink": ("#1a1d21", "#e8eaed"),
    "soft": ("#5b636d", "#a2abb6"),
    "rule": ("#dfe3e8", "#333a43"),
    "before": ("#c3c9d1", "#4a525d"),
}


def variables(dark: bool) -> str:
    """Return the CSS variables of a theme: --s0 to --s7, --ink, --soft, --rule and so on."""
    series = {f"s{number}": pair for number, pair in enumerate(_SERIES)}
    return "".join(f"--{name}:{pair[dark]};" for name, pair in {**_INKS, **series}.items())


def chart_css() -> str:
    """Return the rules that all charts share."""
    series = "".join(f".c{n}{{--c:var(--s{n})}}" for n in range(COLOURS))
    return (
        "svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;"
        "fill:var(--soft);font-variant-numeric:tabular-nums}"
        "svg .strong{fill:var(--ink);font-weight:600;"
        "stroke:var(--paper);stroke-width:4;stroke-linejoin:round;paint-order:stroke}"
        "svg .grid{stroke:var(--rule);stroke-width:1}"
        "svg .axis{stroke:var(--soft);stroke-width:1}"
        "svg .goal{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 4}"
        "svg .front{fill:none;stroke:var(--ink);stroke-width:2.5;stroke-opacity:.28;"
        "stroke-linejoin:round}"
        "svg .line{fill:none;stroke:var(--c);stroke-width:1.25;stroke-opacity:.65}"
        "svg .dot{fill:var(--c);fill-opacity:.35}"
        "svg .dot.best{fill-opacity:1;stroke:var(--paper);stroke-width:1.25}"
        "svg .whisker{stroke:var(--c);stroke-width:1.25;stroke-opacity:.7}"
        "svg .bar{fill:var(--c)}svg .before{fill:var(--before)}svg .mark{stroke:var(--ink)}"
        + series
    )


def colour_class(number: int) -> str:
    """Return the CSS class that sets --c to the colour of a series."""
    return f"c{number % COLOURS}"


def themed_style() -> Markup:
    """Return a style element for an SVG file that stands alone."""
    dark = variables(True)
    return Markup(
        f"<style>svg{{{variables(False)}background:var(--paper)}}"
        f"@media(prefers-color-scheme:dark){{svg{{{dark}}}}}{chart_css()}</style>"
    )


def marker(number: int, x: float, y: float, size: float, *title: Markup, extra: str = "") -> Markup:
    """Return the marker of a series: its colour and its shape. The two cycle with other lengths."""
    corners = _SHAPES[number % len(_SHAPES)]
    style = f"dot {colour_class(number)}{extra}"
    if not corners:
        return tag("circle", *title, cx=x, cy=y, r=size, class_=style)
    points = (
        f"{x + size * 1.15 * across:.1f},{y + size * 1.15 * down:.1f}" for across, down in corners
    )
    return tag("path", *title, d=f"M{'L'.join(points)}Z", class_=style)


def _polygon(corners: int, turn: float) -> tuple[tuple[float, float], ...]:
    angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
    return tuple((math.cos(angle), math.sin(angle)) for angle in angles)


_CROSS = tuple(
    (x * 0.75, y * 0.75)
    for x, y in (
        (-1.2, -0.4), (-0.4, -0.4), (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4),
        (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4),
    )
)  # fmt: skip
_SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    (),
    _polygon(4, math.pi / 4),
    _polygon(3, -math.pi / 2),
    _polygon(4, 0),
    _polygon(3, math.pi / 2),
    _CROSS,
    _polygon(5, -math.pi / 2),
)
