"""Runs a grid, setting by setting, into a file of JSON lines that can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cmodel.errors import InputError, OutputError
from cmodel.executor import Executor, Local
from cmodel.sweep.grid import Grid, NetSpec, Setting
from cmodel.sweep.subject import files_of, identity
from cmodel.sweep.worker import measure_setting, versions

SCHEMA = "cmodel.sweep/1"
_HEAD = json.dumps({"schema": SCHEMA})[:-1]
# What a row says of a setting that was measured, in this order; null where it was not.
MEASURED = (
    "parameters",
    "bytes",
    "bytes_before",
    "ratio",
    "bits_per_weight",
    "images",
    "top1",
    "top5",
    "baseline_top1",
    "baseline_top5",
    "loss",
    "interval",
    "worse",
    "better",
    "kl",
    "agreement",
    "compress_seconds",
    "decode_seconds",
    "eval_seconds",
    "peak_memory",
    "error",
)


@dataclass(frozen=True)
class Progress:
    """An event: `done` of `total` settings, what comes next, and the row that was just written."""

    done: int
    total: int
    what: str
    row: Mapping[str, Any] | None = None


def sweep(
    grid: Grid,
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
    threads: int | None = None,
    executor: Executor | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """Measure what is not in the file yet; return the rows of the grid, in its order.

    Each row is on the disk as soon as it is measured. A setting that fails is a row with its error.
    Rows of other grids stay in the file.

    Parameters
    ----------
    threads : of each setting; default all cores here, 1 on workers.
    executor : where settings are measured; default one after the other, here.

    Raises
    ------
    InputError : a file of a net cannot be read, or `output` is no file of a sweep.
    OutputError : it cannot be written.
    ExecutorError : workers were lost; the rows so far are there, the same call goes on.
    """
    if executor is None:
        with Local() as here:
            return sweep(
                grid, output, seed=seed, threads=threads, executor=here, on_progress=on_progress
            )
    path = Path(output)
    there = {key_of(row): row for row in _recover(path)}
    pairs = grid.pairs()
    identities = {spec.name: identity(grid.folder, spec) for spec in grid.nets}
    heads = [_head(identities[spec.name], setting, seed) for spec, setting in pairs]
    rows = [there.get(key_of(head)) for head in heads]
    missing = [number for number, row in enumerate(rows) if row is None]
    tasks = _tasks(grid, [pairs[number] for number in missing], seed, threads, executor)
    done, total = len(pairs) - len(missing), len(pairs)

    def tell(number: int, row: Mapping[str, Any] | None = None) -> None:
        if on_progress is not None:
            spec, setting = pairs[number]
            on_progress(Progress(done, total, f"{spec.name}: {setting.label}", row))

    _append(path, b"")
    for piece, measured in executor.arrivals(
        measure_setting, tasks, lambda piece, *_: tell(missing[piece])
    ):
        number = missing[piece]
        head = heads[number] | {"versions": measured["versions"]}
        row = {**head, **{key: measured.get(key) for key in MEASURED}}
        _append(path, json.dumps(row, allow_nan=False).encode() + b"\n")
        rows[number] = row
        done += 1
        tell(number, row)
    return [row for row in rows if row is not None]


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the whole rows of a file of results; a last line that was torn is left out.

    Raises
    ------
    InputError : it cannot be read, or is no file of a sweep.
    """
    return _parse(Path(path))[0]


def key_of(row: Mapping[str, Any]) -> str:
    """Return what tells a row from others: net, recipe, images, seed and version."""
    names = ("net", "trained", "prototxt_sha256", "weights_sha256", "judged", "method", "recipe")
    facts = [*(row[name] for name in names), row["seed"], row["versions"]["cmodel"]]
    return json.dumps(facts, sort_keys=True)


def _head(identity: Mapping[str, Any], setting: Setting, seed: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **identity,
        "method": setting.method,
        "label": setting.label,
        "recipe": setting.recipe,
        "seed": seed,
        "versions": versions(),
    }


def _tasks(
    grid: Grid,
    pairs: Sequence[tuple[NetSpec, Setting]],
    seed: int,
    threads: int | None,
    executor: Executor,
) -> list[dict[str, Any]]:
    files = {spec.name: executor.files(files_of(grid.folder, spec)) for spec, _ in pairs}
    return [
        {
            "token": executor.token,
            "files": files[spec.name],
            "folder": str(grid.folder.resolve()),
            "net": asdict(spec),
            "recipe": setting.recipe,
            "seed": seed,
            "threads": threads or executor.threads,
        }
        for spec, setting in pairs
    ]


def _append(path: Path, line: bytes) -> None:
    """Write a line to the end of the file, onto the disk."""
    try:
        with path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write `{path}`: {error.strerror or error}") from error


def _recover(path: Path) -> list[dict[str, Any]]:
    """Return the rows that are there, and cut a torn last line off."""
    if not path.exists():
        return []
    rows, whole, size = _parse(path)
    if whole < size:
        try:
            os.truncate(path, whole)
        except OSError as error:
            raise OutputError(f"cannot write `{path}`: {error.strerror}") from error
    return rows


def _parse(path: Path) -> tuple[list[dict[str, Any]], int, int]:
    """Return the rows, the bytes that their lines take, and those of the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(path)) from error
    whole = data.rfind(b"\n") + 1
    rows = []
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            row = json.loads(line)
            if row["schema"] != SCHEMA:
                raise ValueError
            key_of(row)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"line {number} is no row of a sweep",
                where=str(path),
                hint="name another file for the results",
            ) from error
        rows.append(row)
    # Only what begins like a row can be a torn one: nothing else is ever cut off.
    rest = data[whole:]
    head = _HEAD.encode()
    if rest[: len(head)] != head[: len(rest)]:
        raise InputError("its last line is no row of a sweep", where=str(path))
    return rows, whole, len(data)
