"""`cmodel sweep`: a grid of methods, settings and nets, measured one by one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from cmodel.cli.options import add_executor_option
from cmodel.cli.terminal import Terminal, bytes_text, table

HELP = "measure a grid of methods, settings and nets"
EXAMPLES = """\
  cmodel sweep grid.toml -o results.jsonl
  cmodel sweep grid.toml -o results.jsonl --json    # the rows and each net's Pareto front
  cmodel sweep grid.toml -o results.jsonl --executor dask://10.0.0.1:8786"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("grid", metavar="GRID", help="a grid file (TOML)")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="file of JSON lines; what it holds already is not measured again",
    )
    add_executor_option(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Measure, then show what is on each net's Pareto front."""
    from cmodel.cli import INTERRUPTED
    from cmodel.executor import open_executor
    from cmodel.sweep import load_grid, pareto, sweep

    grid = load_grid(args.grid)
    try:
        with open_executor(args.executor) as executor, terminal.progress("sweeping") as update:
            rows = sweep(
                grid,
                args.output,
                seed=args.seed,
                threads=args.threads,
                executor=executor,
                on_progress=lambda event: update(event.done, event.total, event.what),
            )
    except KeyboardInterrupt:
        terminal.warn(f"interrupted; the rows so far are in {args.output}, the same call goes on")
        return INTERRUPTED
    failed = [row for row in rows if row["error"] is not None]
    for row in failed:
        terminal.warn(f"{row['net']}: {row['label']}: {row['error']['message']}")
    fronts = pareto(rows)
    facts = {
        "output": args.output,
        "rows": rows,
        "failed": len(failed),
        "pareto": {
            net: [{"method": row["method"], "label": row["label"]} for row in front]
            for net, front in fronts.items()
        },
    }
    parts = [
        _front(net, front, next(row for row in rows if row["net"] == net))
        for net, front in fronts.items()
    ]
    parts.append(f"{len(rows)} settings, {len(failed)} failed; rows in {args.output}")
    terminal.document("sweep-summary", facts, "\n\n".join(parts))
    return 0


def _front(net: str, front: list[Mapping[str, Any]], any_row: Mapping[str, Any]) -> str:
    kind = "trained" if any_row["trained"] else "random"
    if not front:
        return f"{net} ({kind} weights): nothing was judged"
    rows = []
    for row in front:
        interval = row["interval"]
        rows.append(
            [
                row["label"],
                bytes_text(row["bytes"]),
                f"{row['ratio']:.1f}x",
                f"{row['bits_per_weight']:.2f}",
                _number(row["top1"], ".2f"),
                _number(row["loss"], "+.2f"),
                "" if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}",
                _number(row["kl"], ".5f"),
                f"{row['agreement']:.2f}",
            ]
        )
    header = [
        "setting",
        "bytes",
        "ratio",
        "bits/weight",
        "top-1 %",
        "loss",
        "95 %",
        "KL",
        "agree %",
    ]
    first = front[0]
    base = _number(first["baseline_top1"], ".2f")
    title = f"{net} ({kind} weights), {first['images']} images"
    return f"{title}{f', top-1 before {base} %' if base else ''}\n{table(header, rows)}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
