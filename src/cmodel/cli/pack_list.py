"""`cmodel pack --list`: many models by one call, each in a process of its own."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmodel.cli.calls import files_of, frozen, thawed
from cmodel.cli.terminal import Terminal, bytes_text, table
from cmodel.errors import (
    CmodelError,
    ExecutorError,
    InputError,
    OutputError,
    UsageError,
    error_facts,
    error_of,
)
from cmodel.executor import in_child, open_executor
from cmodel.files import refuse_existing

if TYPE_CHECKING:
    from cmodel.executor import Executor

# What is said of one model only.
_ALONE = {"model": "DEPLOY", "weights": "WEIGHTS", "checkpoints": "--checkpoints"}


@dataclass(frozen=True)
class Entry:
    """A line of the list: a model, its weights where it needs some, the name of its container."""

    model: Path
    weights: Path | None
    name: str


def run_list(args: argparse.Namespace, terminal: Terminal) -> int:
    """Pack every model; the exit code is the highest of theirs."""
    from cmodel.cli import INTERRUPTED

    for name, shown in _ALONE.items():
        if getattr(args, name) is not None:
            raise UsageError(f"--list does not go with {shown}")
    entries = read_list(Path(args.list))
    folder = Path(args.output)
    if not args.dry_run:
        _make(folder)
        for entry in entries:
            refuse_existing(folder / entry.name, args.force)
    try:
        with open_executor(args.executor) as executor, terminal.progress("packing") as update:
            rows = pack_by(executor, args, entries, update)
    except KeyboardInterrupt:
        terminal.warn(f"interrupted; what was packed so far is in {args.output}")
        return INTERRUPTED
    for row in rows:
        for text in row["warnings"]:
            terminal.warn(f"{row['name']}: {text}")
        if row["error"] is not None:
            terminal.warn(f"{row['name']}: {error_of(row['error'])}")
    failed = [row for row in rows if row["status"]]
    facts = {"output": str(folder), "models": rows, "failed": len(failed)}
    terminal.document("pack-list", facts, _text(rows))
    return max(int(row["status"]) for row in rows)


def read_list(path: Path) -> list[Entry]:
    """Read a list: a line for each model, `PROTOTXT [WEIGHTS] NAME`, with quotes as in a shell.

    Paths are relative to the list. Empty lines and what follows # do not count.

    Raises
    ------
    InputError : it cannot be read.
    UsageError : a line is something else, or two have one name.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the list of models: {error}", where=str(path)) from error
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"it does not parse: {error}", where=where) from error
        if not words:
            continue
        if len(words) not in (2, 3):
            raise UsageError(f"a line has 2 or 3 words, not {len(words)}", where=where, hint=_FORM)
        model, *weights, name = words
        if name in ("", ".", "..") or Path(name).name != name:
            raise UsageError(f"`{name}` is no name of a file", where=where, hint=_FORM)
        if any(entry.name == name for entry in entries):
            raise UsageError(f"two models are to be called `{name}`", where=where)
        first = path.parent / weights[0] if weights else None
        entries.append(Entry(path.parent / model, first, name))
    if not entries:
        raise UsageError("the list names no models", where=str(path), hint=_FORM)
    return entries


_FORM = "a line is `PROTOTXT WEIGHTS NAME`, or `MODEL NAME` where a model carries its weights"


def pack_by(
    executor: Executor,
    args: argparse.Namespace,
    entries: list[Entry],
    update: Callable[[int, int, str], None],
) -> list[dict[str, Any]]:
    """Pack each entry as the other arguments say; return a row for each, in their order."""
    threads = args.threads or executor.threads
    pieces: list[dict[str, Any]] = []
    for entry in entries:
        output = (Path(args.output) / entry.name).absolute()
        call = frozen(
            args,
            model=str(entry.model),
            weights=None if entry.weights is None else str(entry.weights),
            output=str(output),
            # What is there already was refused; a piece that is done again meets its own file.
            force=True,
            threads=threads,
            list=None,
            executor="local",
        )
        pieces.append({"files": executor.files(files_of(call)), "call": call, "threads": threads})
    rows: list[dict[str, Any]] = [{}] * len(entries)
    done = 0

    def tell(number: int, *_: object) -> None:
        update(done, len(entries), entries[number].name)

    for number, found in executor.arrivals(pack_model, pieces, tell):
        rows[number] = _row(entries[number], pieces[number]["call"], found)
        done += 1
        tell(number)
    return rows


def pack_model(piece: dict[str, Any], tell: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Pack a model in a process of its own: the job of a piece. It has: call, threads."""
    tell(0, 1, "")
    found = in_child(pack_here, piece, piece["threads"])
    if "answer" in found:
        answer: dict[str, Any] = found["answer"]
        return answer
    error = found["error"]
    status = error_of(error).exit_code
    return {"status": status, "error": error, "warnings": [], "result": None}


def pack_here(piece: dict[str, Any], tell: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Pack a model in this process; return status, error, warnings, and what `pack` tells."""
    from cmodel.cli.pack_command import run

    recorder = _Recorder()
    error: CmodelError | None = None
    try:
        status = run(thawed(piece["call"]), recorder)
    except CmodelError as raised:
        error, status = raised, raised.exit_code
    return {
        "status": status,
        "error": None if error is None else error_facts(error),
        "warnings": recorder.warnings,
        "result": recorder.facts,
    }


class _Recorder(Terminal):
    """Keeps what a command has to say."""

    def __init__(self) -> None:
        super().__init__(progress=False)
        self.facts: dict[str, Any] | None = None
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def document(self, command: str, data: Any, text: str) -> None:
        self.facts = dict(data)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder `{folder}`: {error.strerror}") from error


def _row(entry: Entry, call: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    result, output = found["result"], Path(call["output"])
    if result is not None and not call["dry_run"]:
        size = output.stat().st_size if output.exists() else None
        if size != result["bytes_after"]:
            raise ExecutorError(
                "a worker wrote it, and it is not here",
                where=str(output),
                hint="name a folder with -o that the workers share with this machine",
            )
    return {
        "name": entry.name,
        "model": str(entry.model),
        "weights": None if entry.weights is None else str(entry.weights),
        **found,
    }


def _text(rows: list[dict[str, Any]]) -> str:
    lines, before, after = [], 0, 0
    for row in rows:
        seen = row["result"]
        outcome = "ok" if row["error"] is None else row["error"]["name"]
        if seen is None:
            lines.append([row["name"], *[""] * 7, outcome])
            continue
        before, after = before + seen["bytes_before"], after + seen["bytes_after"]
        lines.append(
            [
                row["name"],
                bytes_text(seen["bytes_before"]),
                bytes_text(seen["bytes_after"]),
                f"{seen['ratio']:.1f}x",
                *(
                    "" if seen.get(key) is None else format(seen[key], form)
                    for key, form in (
                        ("top1_before", ".2f"),
                        ("top1_after", ".2f"),
                        ("loss", "+.2f"),
                        ("kl", ".5f"),
                    )
                ),
                outcome,
            ]
        )
    header = ["model", "before", "after", "ratio", "top-1 %", "after %", "loss", "KL", "outcome"]
    text = f"{len(rows)} models, {sum(row['status'] != 0 for row in rows)} failed"
    if after:
        text += f"; {bytes_text(before)} before, {bytes_text(after)} after, {before / after:.1f}x"
    return f"{table(header, lines)}\n\n{text}"
