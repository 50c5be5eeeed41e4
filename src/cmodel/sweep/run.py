"""Runs a grid, setting by setting, into a file of JSON lines that can be resumed."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import cmodel
from cmodel._version import __version__
from cmodel.engine import Engine
from cmodel.errors import CmodelError, InputError, OutputError
from cmodel.evaluate import outputs
from cmodel.sweep.grid import Grid, NetSpec, Setting
from cmodel.sweep.subject import Subject, identity
from cmodel.sweep.worker import IMAGES, REFERENCE, error_facts

SCHEMA = "cmodel.sweep/1"
# The images of a net are kept prepared where they take no more.
MAX_HELD = 1 << 30
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
    on_progress: Callable[[Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """Measure what is not in the file yet; return the rows of the grid, in its order.

    Each row is on the disk before the next setting starts. A setting that fails is a row with its
    error. Rows of other grids stay in the file.

    Raises
    ------
    InputError : a file of a net cannot be read, or `output` is no file of a sweep.
    OutputError : it cannot be written.
    """
    path = Path(output)
    there = {key_of(row): row for row in _recover(path)}
    pairs = grid.pairs()
    identities = {spec.name: identity(grid.folder, spec) for spec in grid.nets}
    tell = on_progress or (lambda event: None)
    rows: list[dict[str, Any]] = []
    try:
        with path.open("ab") as file, tempfile.TemporaryDirectory(prefix="cmodel-sweep-") as name:
            baseline: _Baseline | None = None
            for done, (spec, setting) in enumerate(pairs):
                head = _head(identities[spec.name], setting, seed)
                row = there.get(key_of(head))
                if row is None:
                    what = f"{spec.name}: {setting.label}"
                    tell(Progress(done, len(pairs), what))
                    if baseline is None or baseline.spec is not spec:
                        baseline = _Baseline(grid.folder, spec, seed, Path(name))
                    measured = baseline.error or _measure(baseline, setting, seed, threads)
                    row = {**head, **{key: measured.get(key) for key in MEASURED}}
                    file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                    there[key_of(row)] = row
                rows.append(row)
                tell(Progress(done + 1, len(pairs), f"{spec.name}: {setting.label}", row))
    except OSError as error:
        raise OutputError(f"cannot write `{path}`: {error.strerror or error}") from error
    return rows


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


class _Baseline:
    """The original's scores and prepared images, in files; or the error that stands in their way.

    The folder holds those of one net at a time.
    """

    def __init__(self, folder: Path, spec: NetSpec, seed: int, work: Path) -> None:
        self.folder, self.spec, self.work = folder, spec, work
        self.error: dict[str, Any] | None = None
        for name in (REFERENCE, IMAGES):
            (work / name).unlink(missing_ok=True)
        try:
            subject = Subject(folder, spec, seed)
            if subject.inputs is None:
                return
            images = subject.inputs.held(MAX_HELD)
            scores = outputs(
                Engine(subject.net),
                images,
                input_blob=subject.input_blob,
                output_blob=subject.output_blob,
                batch=subject.batch,
            )
        except CmodelError as error:
            self.error = {"error": error_facts(error)}
            return
        np.save(work / REFERENCE, scores)
        if isinstance(images, np.ndarray):
            np.save(work / IMAGES, images)


def _head(identity: Mapping[str, Any], setting: Setting, seed: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **identity,
        "method": setting.method,
        "label": setting.label,
        "recipe": setting.recipe,
        "seed": seed,
        "versions": {
            "cmodel": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    }


def _measure(
    baseline: _Baseline, setting: Setting, seed: int, threads: int | None
) -> dict[str, Any]:
    task, row = baseline.work / "task.json", baseline.work / "row.json"
    row.unlink(missing_ok=True)
    data = {
        "folder": str(baseline.folder.resolve()),
        "net": asdict(baseline.spec),
        "recipe": setting.recipe,
        "seed": seed,
        "threads": threads,
        "work": str(baseline.work),
        "row": str(row),
    }
    task.write_text(json.dumps(data), "utf-8")
    # The process finds this very package, wherever it was imported from.
    source = str(Path(cmodel.__file__).resolve().parent.parent)
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    ended = subprocess.run(
        [sys.executable, "-m", "cmodel.sweep.worker", str(task)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if ended.returncode == 0 and row.exists():
        found: dict[str, Any] = json.loads(row.read_text("utf-8"))
        return found
    if ended.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    message = f"the process ended with the status {ended.returncode}"
    if ended.returncode < 0:
        message = f"the process was ended by the signal {-ended.returncode}"
    error = {"name": "crash", "message": message, "where": None, "notes": lines[-3:], "hint": None}
    return {"error": error}


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
