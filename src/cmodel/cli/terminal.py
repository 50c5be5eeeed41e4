"""Everything that the commands print: data on stdout, all else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cmodel.errors import CmodelError, OutputError

if TYPE_CHECKING:
    from rich.console import Console


class Terminal:
    """Output of one command.

    json : one JSON document on stdout instead of text.
    verbosity : below 0 no warnings and no progress, above 0 more facts.
    progress : whether long work shows a progress bar (only ever on a terminal).
    """

    def __init__(self, *, json: bool = False, verbosity: int = 0, progress: bool = True) -> None:
        self.json = json
        self.verbosity = verbosity
        self._progress = progress
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """The console on stderr; honours NO_COLOR."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        return self._console

    def error(self, error: CmodelError) -> None:
        """Print an error: what, where, what to do."""
        first, _, rest = str(error).partition("\n")
        self._say("error", "bold red", first + ("\n" + rest if rest else ""))

    def warn(self, text: str) -> None:
        """Print a warning."""
        if self.verbosity >= 0:
            self._say("warning", "bold yellow", text)

    def note(self, text: str) -> None:
        """Print what only a curious user wants to know."""
        if self.verbosity > 0:
            self._say("note", "bold", text)

    def interrupted(self) -> None:
        """Say that the user stopped it."""
        self._say("interrupted", "bold red", "nothing was written")

    def _say(self, kind: str, style: str, text: str) -> None:
        from rich.text import Text

        self.console.print(Text.assemble((f"{kind}:", style), " ", text))

    def document(self, command: str, data: Mapping[str, Any], text: str) -> None:
        """Print the result: the JSON document where asked for, the text otherwise."""
        if self.json:
            document = _plain({"schema": f"cmodel.{command}/1", **data})
            text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        if text and sys.stdout is not None:
            try:
                sys.stdout.write(text.rstrip("\n") + "\n")
                sys.stdout.flush()
            except BrokenPipeError:
                raise
            except (OSError, UnicodeEncodeError) as error:
                raise OutputError(f"cannot write the result: {error}") from error

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int, str], None]]:
        """Show a progress bar; the value is a function of (done, total, description)."""
        if not (self._progress and self.verbosity >= 0 and self.console.is_terminal):
            yield lambda done, total, description="": None  # type: ignore[misc]
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=None)

            def update(done: int, total: int, description: str = "") -> None:
                bar.update(
                    task, completed=done, total=total, description=f"{what} {description}".strip()
                )

            yield update


def _plain(value: Any) -> Any:
    """Return JSON data with null for what JSON has no number for: NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Lay out a plain table; the first `left` columns are flush left, the others right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def bytes_text(size: int) -> str:
    """Return a size as people read it: KB = 1000 bytes, MB = 10^6."""
    if size < 1000:
        return f"{size} B"
    if size < 1_000_000:
        return f"{size / 1000:.1f} KB"
    return f"{size / 1e6:.2f} MB"
