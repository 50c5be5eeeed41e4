"""The page of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmodel.report.markup import Markup, join, shorten, tag
from cmodel.report.page import facts_list, note, page, section, table, tiles
from cmodel.report.palette import marker
from cmodel.report.rate_accuracy import MAX_POINTS, is_drawn, rate_accuracy
from cmodel.report.scales import bytes_of, points_of, ratio_of, text_of

MAX_NETS = 40
MAX_LISTED = 400
_NAME = 60
_SHOW = {"ratio": ratio_of, "top1": points_of, "loss": points_of}


def sweep_page(facts: Mapping[str, Any]) -> str:
    """Return the HTML of what `read_sweep` found."""
    nets = facts["nets"]
    settings = sum(len(net["points"]) for net in nets)
    failed = sum(len(net["errors"]) for net in nets)
    best = max((row["ratio"] for net in nets for row in net["best"]), default=None)
    headline = [
        (str(len(nets)), "net" if len(nets) == 1 else "nets"),
        (str(len(facts["methods"])), "method" if len(facts["methods"]) == 1 else "methods"),
        (str(settings), "settings measured" + (f", {failed} failed" if failed else "")),
        ("—" if best is None else ratio_of(best), "best ratio within 1 point of top-1"),
    ]
    shown = nets[:MAX_NETS]
    rest = len(nets) - len(shown)
    body = join(
        tag("h1", "Comparison of methods"),
        tag("p", f"From {facts.get('file', 'a sweep')}.", class_="soft"),
        tiles(headline),
        *(_net_section(net, facts["methods"]) for net in shown),
        section("Not shown", note(f"{rest} more nets; `--json` has them.")) if rest else None,
        _skipped(facts.get("skipped", [])),
    )
    return page("Comparison of methods", body)


def _net_section(net: Mapping[str, Any], methods: Sequence[str]) -> Markup:
    state = {True: "trained weights", False: "random weights", None: "not stated if trained"}
    heading = join(shorten(net["name"], _NAME), tag("span", state[net["trained"]], class_="tag"))
    return section(
        heading,
        tag("p", _about(net), class_="note"),
        _chart(net, methods),
        _best_table(net, methods),
        _all_points(net, methods),
        _errors(net["errors"]),
        _provenance(net),
    )


def _about(net: Mapping[str, Any]) -> str:
    parts = []
    if net["parameters"] is not None:
        count = net["parameters"]
        parts.append(f"{count:,} parameters, {bytes_of(4 * count)} as float32.")
    if net["baseline_top1"] is not None and net["trained"] is not False:
        images = " or ".join(f"{count:,}" for count in net["images"][:3])
        on = f" on {images} images" if images else ""
        parts.append(f"Uncompressed: {net['baseline_top1']:.2f} % top-1{on}.")
    if net["trained"] is False:
        parts.append("The weights are random: bytes and times only, no word on accuracy.")
    return " ".join(parts)


def _chart(net: Mapping[str, Any], methods: Sequence[str]) -> Markup:
    if not is_drawn(net):
        return note(
            "No picture: no row has both a ratio and a loss of top-1 or a KL divergence of outputs."
        )
    caption = (
        "Each mark is a setting; right and low is better. The grey line and the filled marks are "
        "the Pareto front: every smaller file is worse."
    )
    if net["measure"] == "loss":
        caption += " Whiskers are 95 % intervals, the dashed line is 1 point."
    else:
        caption += " No labels, so no accuracy: divergence of the outputs from the original's."
    if len(net["points"]) > MAX_POINTS:
        caption += f" {MAX_POINTS} of {len(net['points'])} settings are drawn."
    return tag(
        "figure",
        rate_accuracy(net, methods, width=960, height=470, class_="wide"),
        rate_accuracy(net, methods, width=372, height=400, class_="narrow"),
        tag("figcaption", caption),
    )


def _best_table(net: Mapping[str, Any], methods: Sequence[str]) -> Markup | None:
    if net["measure"] != "loss":
        return None
    if not net["best"]:
        return note("No setting loses at most 1 point of top-1.")
    header = ["best ratio within 1 point", "setting", "ratio", "bytes", "top-1 lost", "95 %", "KL"]
    rows = [
        [
            _key(point["method"], methods),
            _setting(point),
            ratio_of(point["ratio"]),
            "" if point["bytes"] is None else bytes_of(point["bytes"]),
            points_of(point["loss"]),
            _interval(point),
            "" if point["kl"] is None else text_of(point["kl"]),
        ]
        for point in net["best"][:MAX_LISTED]
    ]
    return table(header, rows, text=2, optional=frozenset({1, 5, 6}))


def _all_points(net: Mapping[str, Any], methods: Sequence[str]) -> Markup | None:
    points = sorted(net["points"], key=lambda point: -(point["ratio"] or 0))
    if not points:
        return None
    names = ("ratio", "bits_per_weight", "top1", "loss", "kl", "seconds", "decode_seconds")
    titles = ("ratio", "bits/weight", "top-1 %", "lost", "KL", "seconds", "decode s")
    # A column that nobody measured is left out.
    kept = [i for i, name in enumerate(names) if any(p[name] is not None for p in points)]
    if net["trained"] is False:
        kept = [i for i in kept if names[i] not in ("top1", "loss")]
    rows: list[list[Any]] = []
    for point in points[:MAX_LISTED]:
        values = [point[names[i]] for i in kept]
        star = " ★" if point["front"] else ""
        rows.append(
            [
                _key(point["method"], methods),
                f"{_setting(point)}{star}",
                *(
                    "" if value is None else _SHOW.get(names[i], text_of)(value)
                    for i, value in zip(kept, values, strict=True)
                ),
            ]
        )
    hidden = len(points) - len(rows)
    # On a phone: the setting, ratio and loss.
    optional = {0} | {
        2 + place for place, i in enumerate(kept) if names[i] not in ("ratio", "loss")
    }
    return tag(
        "details",
        tag("summary", f"All {len(points)} settings (★ on the Pareto front)"),
        table(
            ["method", "setting", *(titles[i] for i in kept)],
            rows,
            text=2,
            optional=frozenset(optional),
        ),
        note(f"{hidden} more, of lower ratios; `--json` has them.") if hidden else None,
    )


def _errors(errors: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not errors:
        return None
    rows = [[shorten(e["label"], 120), shorten(e["error"], 300)] for e in errors[:MAX_LISTED]]
    word = "setting" if len(errors) == 1 else "settings"
    return tag(
        "details",
        tag("summary", f"{len(errors)} {word} failed"),
        table(["setting", "error"], rows, text=2),
    )


def _provenance(net: Mapping[str, Any]) -> Markup:
    entries: list[tuple[str, str | Markup]] = []
    if net["weights_sha256"]:
        entries.append(("weights, SHA-256", tag("code", shorten(net["weights_sha256"], 64))))
    if net["seeds"]:
        entries.append(("seed", ", ".join(str(seed) for seed in net["seeds"][:8])))
    if net["versions"]:
        entries.append(("versions", shorten("; ".join(net["versions"]), 300)))
    return facts_list(entries) if entries else Markup("")


def _skipped(skipped: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not skipped:
        return None
    rows = [[str(entry["line"]), entry["why"]] for entry in skipped[:50]]
    text = f"{len(skipped)} lines of the file are no rows of a sweep and were left out."
    return section("Lines left out", note(text), table(["line", "why"], rows, text=2))


def _key(method: str, methods: Sequence[str]) -> Markup:
    dot = tag("svg", marker(methods.index(method), 6, 6, 4.5, extra=" best"), width=12, height=12)
    return tag("span", dot, shorten(method, _NAME), class_="key")


def _setting(point: Mapping[str, Any]) -> str:
    """The label without the method's own name in front."""
    label: str = point["label"]
    rest = label.removeprefix(point["method"]).lstrip(" :,-")
    return shorten(rest or label, 90)


def _interval(point: Mapping[str, Any]) -> str:
    if point["interval"] is None:
        return ""
    low, high = point["interval"]
    return f"{points_of(low)} to {points_of(high)}"
