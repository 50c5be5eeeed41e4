"""Rows of a sweep -> what its page shows, as JSON data."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cmodel.errors import InputError, LimitError

SCHEMA = "cmodel.sweep/1"
MAX_BYTES = 64 << 20
MAX_ROWS = 20_000
# Percent points of top-1 that the table of best ratios allows.
GOAL = 1.0

Row = Mapping[str, Any]


def read_sweep(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a sweep's file of JSON lines; lines that are no rows are named in the result.

    Raises
    ------
    InputError : it cannot be read, or has no row at all.
    LimitError : it is larger than the limits.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(file)) from error
    if len(data) > MAX_BYTES:
        raise LimitError(f"results of more than {MAX_BYTES >> 20} MiB", where=str(file))
    rows: list[Row] = []
    skipped = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            skipped.append({"line": number, "why": "it is not JSON"})
            continue
        schema = row.get("schema") if isinstance(row, dict) else None
        if not isinstance(row, dict) or schema != SCHEMA:
            skipped.append({"line": number, "why": f"it has not the schema {SCHEMA}"})
        elif not isinstance(row.get("net"), str):
            skipped.append({"line": number, "why": "it names no net"})
        else:
            rows.append(row)
    if not rows:
        raise InputError(
            "it is no container, and has no line that is a row of a sweep",
            where=str(file),
            notes=[f"line {entry['line']}: {entry['why']}" for entry in skipped[:3]],
            hint="`cmodel report` reads a .cmodel, or the JSON lines that `cmodel sweep` writes",
        )
    if len(rows) > MAX_ROWS:
        raise LimitError(f"{len(rows)} rows, at most {MAX_ROWS} are shown", where=str(file))
    return {**sweep_facts(rows), "file": file.name, "skipped": skipped}


def sweep_facts(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the facts of each net in the rows: its points, Pareto front, best ratios, errors.

    Fields that are missing, or of the wrong type, are null. A net is told from others by its name,
    its weights and whether these are trained.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        key = (text(row, "net") or "", text(row, "weights_sha256") or "", str(row.get("trained")))
        groups.setdefault(key, []).append(row)
    methods = dict.fromkeys(_method(row) for group in groups.values() for row in group)
    return {
        "kind": "sweep",
        "methods": list(methods),
        "nets": [_net_facts(group) for group in groups.values()],
    }


def _net_facts(rows: list[Row]) -> dict[str, Any]:
    first = rows[0]
    points = [_point(row) for row in rows if not row.get("error")]
    trained = first.get("trained")
    # A net with random weights answers nothing: no word on its accuracy.
    measures = ("loss", "kl") if trained is not False else ("kl",)
    measure = next((m for m in measures if any(p[m] is not None for p in points)), None)
    _mark_front(points, measure)
    return {
        "name": text(first, "net") or "",
        "trained": trained if isinstance(trained, bool) else None,
        "weights_sha256": text(first, "weights_sha256"),
        "parameters": _whole(first, "parameters"),
        "baseline_top1": next(filter(None, (number(row, "baseline_top1") for row in rows)), None),
        "images": sorted({count for p in points if (count := p["images"]) is not None}),
        "seeds": sorted({seed for row in rows if (seed := _whole(row, "seed")) is not None}),
        "versions": _versions(rows),
        "measure": measure,
        "points": points,
        "best": _best(points) if measure == "loss" else [],
        "errors": [_failure(row) for row in rows if row.get("error")],
    }


def _point(row: Row) -> dict[str, Any]:
    interval = row.get("interval", row.get("loss_interval"))
    bounds = None
    if isinstance(interval, list) and len(interval) == 2:
        ends = [number({"end": end}, "end") for end in interval]
        bounds = None if None in ends else ends
    parts = [number(row, f"{part}_seconds") for part in ("compress", "eval")]
    seconds = sum(part for part in parts if part is not None) if any(parts) else None
    return {
        "method": _method(row),
        "label": text(row, "label") or _method(row),
        "bytes": _whole(row, "bytes"),
        **{
            name: number(row, name)
            for name in ("ratio", "bits_per_weight", "top1", "top5", "loss", "kl", "agreement")
        },
        "interval": bounds,
        "images": _whole(row, "images"),
        "seconds": number(row, "seconds") or seconds,
        "decode_seconds": number(row, "decode_seconds"),
        "peak_memory": _whole(row, "peak_memory"),
        "front": False,
    }


def _mark_front(points: list[dict[str, Any]], measure: str | None) -> None:
    """Mark the points of which every smaller file is worse."""
    judged = [p for p in points if measure and p["ratio"] and p[measure] is not None]
    best = math.inf
    for point in sorted(judged, key=lambda p: (-p["ratio"], p[str(measure)], p["label"])):
        if point[str(measure)] < best:
            best = point[str(measure)]
            point["front"] = True


def _best(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each method the point of the highest ratio within the goal, best first."""
    best: dict[str, dict[str, Any]] = {}
    for point in points:
        if point["loss"] is None or point["loss"] > GOAL or not point["ratio"]:
            continue
        known = best.get(point["method"])
        if known is None or point["ratio"] > known["ratio"]:
            best[point["method"]] = point
    return sorted(best.values(), key=lambda point: -point["ratio"])


def _failure(row: Row) -> dict[str, Any]:
    error = row.get("error")
    if isinstance(error, Mapping):
        message = text(error, "message") or text(error, "name") or "it failed"
    else:
        message = str(error)
    return {"method": _method(row), "label": text(row, "label") or _method(row), "error": message}


def _method(row: Row) -> str:
    return text(row, "method") or text(row, "label") or "unnamed"


def _versions(rows: list[Row]) -> list[str]:
    found: dict[str, None] = {}
    for row in rows:
        versions = row.get("versions", row.get("version"))
        if isinstance(versions, Mapping):
            found[" ".join(f"{name} {version}" for name, version in versions.items())] = None
        elif versions is not None:
            found[f"cmodel {versions}"] = None
    return list(found)


def number(row: Row, name: str) -> float | None:
    """Return a finite number of a row, or None."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _whole(row: Row, name: str) -> int | None:
    value = number(row, name)
    return None if value is None else int(value)


def text(row: Row, name: str) -> str | None:
    """Return a text of a row, or None."""
    value = row.get(name)
    return value if isinstance(value, str) and value else None
