"""The picture of a sweep: what each setting loses, against how small it makes the net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cmodel.errors import UsageError, did_you_mean
from cmodel.report.markup import Markup, join, shorten, tag
from cmodel.report.palette import colour_class, marker, themed_style
from cmodel.report.scales import (
    TIMES,
    Scale,
    bent,
    bytes_of,
    logarithmic,
    points_of,
    ratio_of,
    text_of,
)
from cmodel.report.sweep_facts import GOAL, sweep_facts

MAX_POINTS = 2000
_LETTER = 6.6  # width of a letter of the legend, about
_AXES = {"loss": "top-1 lost, points", "kl": "KL divergence of the outputs, nats"}
_SMALLEST_KL = 1e-6


def rate_accuracy_svg(rows: Iterable[Mapping[str, Any]], net: str) -> str:
    """Return an SVG file of the rows of one net: loss, or else KL, against the compression ratio.

    rows : of a sweep, as read from its JSON lines; those of other nets are left out.

    Raises
    ------
    UsageError : no row of this net was measured.
    """
    facts = sweep_facts(rows)
    names = [found["name"] for found in facts["nets"]]
    chosen = [found for found in facts["nets"] if found["name"] == net]
    if not chosen:
        raise UsageError(
            f"the sweep has no net `{net}`",
            notes=[f"nets: {', '.join(names) or 'none'}"],
            hint=did_you_mean(net, names),
        )
    if not is_drawn(chosen[0]):
        raise UsageError(f"no row of `{net}` has a ratio and a loss or KL divergence")
    return rate_accuracy(chosen[0], facts["methods"], width=760, height=430, alone=True)


def is_drawn(net: Mapping[str, Any]) -> bool:
    """Whether a net of `sweep_facts` has points to draw."""
    return bool(_judged(net))


def rate_accuracy(
    net: Mapping[str, Any],
    methods: Sequence[str],
    *,
    width: int,
    height: int,
    alone: bool = False,
    class_: str | None = None,
) -> Markup:
    """Draw a net of `sweep_facts`. `alone` makes it a file of its own, with style and namespace."""
    measure = str(net["measure"])
    points = _judged(net)
    used = [method for method in methods if any(p["method"] == method for p in points)]
    legend, legend_height = _legend(used, methods, width)
    x, y = _scales(points, measure, width, height)
    paths = [_front(points, measure, x, y)]
    for method in used:
        line = _line([p for p in points if p["method"] == method], measure, x, y)
        paths.append(tag("g", line, class_=colour_class(methods.index(method))))
    dots = [_dot(point, measure, methods.index(point["method"]), x, y) for point in points]
    total = height + legend_height
    title = f"{net['name']}: {_AXES[measure]} against the compression ratio"
    content = join(
        themed_style() if alone else None,
        tag("title", title) if alone else None,
        _axes(x, y, measure, width, height),
        *paths,
        *dots,
        _callout(points, measure, x, y) if measure == "loss" else None,
        tag("g", legend, transform=f"translate(0 {height})"),
    )
    return tag(
        "svg",
        content,
        xmlns="http://www.w3.org/2000/svg" if alone else None,
        viewBox=f"0 0 {width} {total}",
        width=width if alone else None,
        height=total if alone else None,
        role="img",
        aria_label=title,
        class_=class_,
    )


def _judged(net: Mapping[str, Any]) -> list[dict[str, Any]]:
    measure = net["measure"]
    if measure is None:
        return []
    points = [p for p in net["points"] if p["ratio"] and p["ratio"] > 0 and p[measure] is not None]
    # The front is drawn last, above the others, and never left out.
    points.sort(key=lambda point: point["front"])
    return points[-MAX_POINTS:]


def _scales(
    points: Sequence[Mapping[str, Any]], measure: str, width: int, height: int
) -> tuple[Scale, Scale]:
    ratios = [point["ratio"] for point in points]
    values = [point[measure] for point in points]
    few = width < 500
    x = logarithmic(min(ratios) / 1.12, max(ratios) * 1.12, 46, width - 16, 6 if few else 11)
    if measure == "loss":
        y = bent(min(values) - 0.03, max(*values, 1.5), height - 46, 22, 0.3)
    else:
        floor = max(min(values), _SMALLEST_KL)
        y = logarithmic(floor / 1.5, max(*values, floor * 10) * 1.5, height - 46, 22, 7)
    return x, y


def _axes(x: Scale, y: Scale, measure: str, width: int, height: int) -> Markup:
    bottom = height - 46
    parts = []
    for value in y.ticks:
        place = round(y(value)) + 0.5
        style = "axis" if value == 0 else "grid"
        parts.append(tag("line", x1=46, x2=width - 16, y1=place, y2=place, class_=style))
        parts.append(tag("text", text_of(value), x=40, y=place + 4, text_anchor="end"))
    for value in x.ticks:
        place = round(x(value)) + 0.5
        parts.append(tag("line", x1=place, x2=place, y1=22, y2=bottom, class_="grid"))
        parts.append(
            tag("text", f"{text_of(value)}{TIMES}", x=place, y=bottom + 18, text_anchor="middle")
        )
    if measure == "loss":
        place = round(y(GOAL)) + 0.5
        parts.append(tag("line", x1=46, x2=width - 16, y1=place, y2=place, class_="goal"))
    middle = (46 + width - 16) / 2
    parts.append(tag("text", "compression ratio", x=middle, y=bottom + 37, text_anchor="middle"))
    parts.append(tag("text", _AXES[measure], x=4, y=12))
    return join(*parts)


def _front(points: Sequence[Mapping[str, Any]], measure: str, x: Scale, y: Scale) -> Markup:
    """The Pareto front of the net as a line."""
    return _path([p for p in points if p["front"]], measure, x, y, "front")


def _line(points: Sequence[Mapping[str, Any]], measure: str, x: Scale, y: Scale) -> Markup | None:
    """The front of one method: its settings that none of its own beats."""
    best = float("inf")
    kept = []
    for point in sorted(points, key=lambda p: (-p["ratio"], p[measure])):
        if point[measure] < best:
            best = point[measure]
            kept.append(point)
    return _path(kept, measure, x, y, "line") if len(kept) > 1 else None


def _path(
    points: Sequence[Mapping[str, Any]], measure: str, x: Scale, y: Scale, class_: str
) -> Markup:
    ordered = sorted(points, key=lambda point: point["ratio"])
    places = (f"{x(point['ratio']):.1f} {y(point[measure]):.1f}" for point in ordered)
    return tag("path", d=f"M{'L'.join(places)}", class_=class_)


def _dot(point: Mapping[str, Any], measure: str, series: int, x: Scale, y: Scale) -> Markup:
    across, down = x(point["ratio"]), y(point[measure])
    facts = [f"{ratio_of(point['ratio'])}"]
    if point["bytes"] is not None:
        facts.append(bytes_of(point["bytes"]))
    if point["loss"] is not None and measure == "loss":
        facts.append(f"loses {points_of(point['loss'])} points")
    if point["interval"] is not None and measure == "loss":
        facts.append(f"95 %: {' to '.join(points_of(end) for end in point['interval'])}")
    if point["kl"] is not None:
        facts.append(f"KL {text_of(point['kl'])}")
    title = tag("title", f"{point['label']}\n{' · '.join(facts)}")
    whisker = None
    if point["front"] and measure == "loss" and point["interval"]:
        low, high = (y(end) for end in point["interval"])
        whisker = tag(
            "line",
            x1=across, x2=across, y1=low, y2=high,
            class_=f"whisker {colour_class(series)}",
        )  # fmt: skip
    if not point["front"]:
        return marker(series, across, down, 3.5, title)
    return join(whisker, marker(series, across, down, 5.5, title, extra=" best"))


def _callout(
    points: Sequence[Mapping[str, Any]], measure: str, x: Scale, y: Scale
) -> Markup | None:
    """Name the highest ratio within the goal."""
    within = [point for point in points if point[measure] <= GOAL]
    if not within:
        return None
    best = max(within, key=lambda point: point["ratio"])
    place = x(best["ratio"])
    near_end = place > (x.start + x.stop) / 2
    return tag(
        "text",
        f"{ratio_of(best['ratio'])} within 1 point",
        x=place + (-10 if near_end else 10),
        y=y(best[measure]) - 9,
        text_anchor="end" if near_end else "start",
        class_="strong",
    )


def _legend(used: Sequence[str], methods: Sequence[str], width: int) -> tuple[Markup, int]:
    """Lay the methods out in lines below the axes; return them and their height."""
    parts = []
    across, down = 46.0, 10.0
    longest = int((width - 90) / _LETTER)
    for method in used:
        name = shorten(method, longest)
        need = 18 + len(name) * _LETTER + 16
        if across > 46 and across + need > width:
            across, down = 46.0, down + 20
        parts.append(marker(methods.index(method), across + 4, down - 4, 5, extra=" best"))
        parts.append(tag("text", name, x=across + 14, y=down))
        across += need
    return join(*parts), int(down + 12)
