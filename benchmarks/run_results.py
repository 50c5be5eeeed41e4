"""Measures the rows of docs/results.md: writes the grids, sweeps them, puts the rows into docs.

    python benchmarks/run_results.py OUTDIR [--net NAME ...] [--again METHOD ...] [--copy]

OUTDIR holds the grids and the whole rows. Called again, it measures only what is not there yet;
--again measures these methods once more, --copy nothing at all. What the page needs of the rows
that the grids ask for goes to docs/results/NAME.jsonl; those of other nets stay as they are there.
docs/generate_results.py makes the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results import NAMES, arguments, write_grids

from cmodel.sweep import Progress, load_grid, read_rows, sweep

ROWS = Path(__file__).parents[1] / "docs" / "results"
KEPT = (
    "schema",
    "net",
    "trained",
    "weights_sha256",
    "judged",
    "method",
    "recipe",
    "seed",
    "versions",
    "parameters",
    "bytes",
    "ratio",
    "bits_per_weight",
    "images",
    "top1",
    "top5",
    "baseline_top1",
    "baseline_top5",
    "loss",
    "interval",
    "kl",
    "agreement",
    "compress_seconds",
    "eval_seconds",
    "peak_memory",
    "error",
)


def trimmed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page needs of a row: nothing that is null, numbers of six digits."""
    kept = {key: _rounded(row[key]) for key in KEPT if row.get(key) is not None}
    if "error" in kept:
        kept["error"] = {key: row["error"][key] for key in ("name", "message")}
    return kept


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def forget(path: Path, methods: Sequence[str]) -> int:
    """Take the rows of these methods out of a file of a sweep; return how many there were."""
    if not methods or not path.exists():
        return 0
    rows = read_rows(path)
    stay = [row for row in rows if row["method"] not in methods]
    kept = path.with_suffix(".kept")
    kept.write_text("".join(f"{json.dumps(row, allow_nan=False)}\n" for row in stay), "utf-8")
    kept.replace(path)
    return len(rows) - len(stay)


def measured(grid: Path) -> list[dict[str, Any]]:
    """Return the rows that are there of what a grid asks for."""
    wanted = {_setting(one.method, one.recipe) for _, one in load_grid(grid).pairs()}
    rows = read_rows(grid.with_suffix(".jsonl")) if grid.with_suffix(".jsonl").exists() else []
    return [row for row in rows if _setting(row["method"], row["recipe"]) in wanted]


def _setting(method: str, recipe: Mapping[str, Any]) -> str:
    return json.dumps([method, recipe], sort_keys=True)


def measure(grid: Path, again: Sequence[str], threads: int) -> list[dict[str, Any]]:
    """Sweep a grid; return its rows."""
    whole = grid.with_suffix(".jsonl")
    gone = forget(whole, again)
    if gone:
        print(f"{grid.stem}: {gone} rows are measured again", flush=True)
    return sweep(load_grid(grid), whole, threads=threads, on_progress=_tell)


def put(rows: Sequence[Mapping[str, Any]], name: str) -> Path:
    """Write the rows of a net for the page; return their path."""
    ROWS.mkdir(exist_ok=True)
    path = ROWS / f"{name}.jsonl"
    lines = (json.dumps(trimmed(row), allow_nan=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def _tell(event: Progress) -> None:
    if event.row is None:
        print(f"{event.done + 1:3} of {event.total}  {event.what}", flush=True)
    elif event.row["error"] is not None:
        print(f"    cannot run: {event.row['error']['message']}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure net by net."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments(parser)
    parser.add_argument("--again", nargs="+", metavar="METHOD", default=[])
    parser.add_argument("--copy", action="store_true", help="measure nothing, copy the rows")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    names = [name for name in NAMES if name in options.net]
    for grid in write_grids(options.folder, names, options.alexnet):
        copy = options.copy
        rows = measured(grid) if copy else measure(grid, options.again, options.threads)
        if rows:
            print(f"{put(rows, grid.stem)}: {len(rows)} rows", flush=True)


if __name__ == "__main__":
    main()
