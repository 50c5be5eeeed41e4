"""Pieces done one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cmodel.executor.base import Answer, Executor, Job, OnPiece, Piece, plain
from cmodel.executor.kept import forget_all


class Local(Executor):
    """Does each piece when its answer is asked for, on all threads."""

    def arrivals(
        self, job: Job, pieces: Sequence[Piece], tell: OnPiece | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Yield the answers in the order of the pieces."""
        for number, piece in enumerate(pieces):

            def told(done: int, total: int, what: str, number: int = number) -> None:
                if tell is not None:
                    tell(number, done, total, what)

            yield number, plain(job(plain(piece), told))

    def close(self) -> None:
        """Let go of what the pieces kept."""
        forget_all()
