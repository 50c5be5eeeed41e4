"""What every executor does: pieces of plain data in, answers of plain data out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

# Both hold only what JSON has; floats come back with the same bits, NaN and infinities included.
Piece = dict[str, Any]
Answer = dict[str, Any]
Tell = Callable[[int, int, str], None]
Job = Callable[[Piece, Tell], Answer]
# Called with the number of the piece, and what its job tells.
OnPiece = Callable[[int, int, int, str], None]


class Executor(ABC):
    """Does a job on pieces of work.

    A job is a function of a module, of a piece and of a function to tell progress to: (done, total,
    what). It returns its answer or raises. Pieces do not depend on each other.

    width : pieces that are done at a time.
    threads : threads for a piece where the call states none; None for all cores.
    token : differs from executor to executor, for what pieces of one keep (`Kept`).
    """

    width: int = 1
    threads: int | None = None

    def __init__(self) -> None:
        self.token = uuid4().hex

    @abstractmethod
    def arrivals(
        self, job: Job, pieces: Sequence[Piece], tell: OnPiece | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Yield (number of the piece, answer) as the answers come.

        Raises
        ------
        CmodelError : a job's own, which ends it all; or workers that cannot be had.
        """

    def ordered(
        self, job: Job, pieces: Sequence[Piece], tell: OnPiece | None = None
    ) -> list[Answer]:
        """Return the answers in the order of the pieces; errors as `arrivals`."""
        answers: list[Answer] = [{}] * len(pieces)
        for number, answer in self.arrivals(job, pieces, tell):
            answers[number] = answer
        return answers

    def ranges(self, total: int, step: int) -> list[tuple[int, int]]:
        """Cut `total` items into ranges (start, stop), each but the last of whole steps."""
        return [(0, total)]

    def files(self, paths: Sequence[Path]) -> list[list[Any]]:
        """Return what a piece states as `files`: whoever does it has to see the same ones.

        Of `paths` those that are here; [] where pieces are done on this very machine.
        """
        return []

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held; pieces that are not done are given up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def name_of(job: Job) -> str:
    """Return the name that finds a function again, "module:function"."""
    return f"{job.__module__}:{job.__qualname__}"


def plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as they are after a way over the wire."""
    found: dict[str, Any] = json.loads(json.dumps(data))
    return found
