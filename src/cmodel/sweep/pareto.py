"""The rows that no other row of the same net beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

Row = Mapping[str, Any]


def pareto(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return for each net its rows on the Pareto front, the smallest file first.

    A row is there if every smaller file is worse: has a greater loss of top-1, or, where a net was
    not judged on labels, a greater output divergence. Rows with an error, and rows of nets that
    were not judged at all, are on no front.
    """
    fronts: dict[str, list[Row]] = {}
    for net in dict.fromkeys(row["net"] for row in rows):
        fronts[net] = []
        judged = [row for row in rows if row["net"] == net and row.get("error") is None]
        measure = "loss" if any(row.get("loss") is not None for row in judged) else "kl"
        judged = [row for row in judged if row.get(measure) is not None]
        judged.sort(key=lambda row: (row["bytes"], row[measure], row["label"]))
        best = inf
        for row in judged:
            if row[measure] < best:
                best = row[measure]
                fronts[net].append(row)
    return fronts
