"""Puts the table of benchmarks/results/ablation.json into docs/concepts/rdo.md.

    python docs/generate_ablation.py

tests/unit/test_ablation_table.py holds the page to what this writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER / "concepts" / "rdo.md"
FIGURES = FOLDER.parent / "benchmarks" / "results" / "ablation.json"
BEGIN, END = "<!-- ablation -->\n", "<!-- /ablation -->\n"
NONE = "\N{EN DASH}"


def table(figures: dict[str, Any]) -> str:
    """Return a line for each variant, a pair of columns for each net: bytes, and what is saved."""
    nets = figures["nets"]
    names = list(dict.fromkeys(row["variant"] for net in nets.values() for row in net["rows"]))
    heads = [f"{name} at {net['kl']:g} | saved" for name, net in nets.items()]
    lines = [f"| variant | {' | '.join(heads)} |", "| --- |" + " --- | --- |" * len(nets)]
    first = {name: net["rows"][0]["bytes"] for name, net in nets.items()}
    for variant in sorted(names, key=lambda name: max(_place(net, name) for net in nets.values())):
        cells = []
        for name, net in nets.items():
            size = next((r["bytes"] for r in net["rows"] if r["variant"] == variant), None)
            if size is None:
                cells += [NONE, NONE]
            else:
                cells += [f"{size:,.0f}", f"{100 * (1 - size / first[name]):.1f} %"]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _place(net: dict[str, Any], variant: str) -> int:
    variants = [row["variant"] for row in net["rows"]]
    return variants.index(variant) if variant in variants else -1


def page(text: str, figures: dict[str, Any]) -> str:
    """Return the page with the table in its place."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + table(figures) + END + rest.split(END)[1]


def main() -> int:
    """Write the page."""
    figures = json.loads(FIGURES.read_text("utf-8"))
    PAGE.write_text(page(PAGE.read_text("utf-8"), figures), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
