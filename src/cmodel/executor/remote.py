"""Pieces done by the workers of a dask scheduler (the extra `dask`)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from cmodel.errors import ExecutorError, MissingExtraError, error_of
from cmodel.executor.base import Answer, Executor, Job, OnPiece, Piece
from cmodel.executor.worker import fingerprint, request

# A range is small beside all that a worker does, and beside what its loss may cost.
_RANGES_PER_SLOT = 8
_MAX_RANGE = 1000


class Dask(Executor):
    """Hands pieces to the workers of a scheduler; one thread each where the call states no number.

    What goes over the wire is text (JSON) and one small function. A piece whose worker is lost goes
    to another one, as often as the scheduler allows (`distributed.scheduler.allowed-failures`, 3 if
    nothing is set). TLS is used where dask's own configuration has it.

    Raises
    ------
    MissingExtraError : the package distributed is not installed.
    ExecutorError : the scheduler cannot be reached, or has no workers.
    """

    threads = 1

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._runs = 0
        try:
            import dask
            import distributed
        except ImportError as error:
            raise MissingExtraError("the executor `dask://`", "dask") from error
        # What it has to say of lost workers and schedulers, errors here say.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        tls = dask.config.get("distributed.comm.tls.ca-file", None) is not None
        self.address = f"{'tls' if tls else 'tcp'}://{host}:{port}"
        timeout = dask.config.get("distributed.comm.timeouts.connect")
        try:
            self._client = distributed.Client(self.address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ExecutorError(
                f"cannot reach the scheduler: {_first_line(error)}",
                where=self.address,
                hint="`dask scheduler` starts one; it states its address",
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=timeout)
        except (OSError, distributed.TimeoutError) as error:
            self._client.close()
            raise ExecutorError(
                "the scheduler has no workers",
                where=self.address,
                hint=f"`dask worker {self.address}` starts one, on any machine",
            ) from error
        self.width = max(sum(self._client.nthreads().values()), 1)

    def arrivals(
        self, job: Job, pieces: Sequence[Piece], tell: OnPiece | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Yield the answers as they arrive; pieces that lost too many workers are told last.

        What a job tells on its way is not heard here.
        """
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        if not pieces:
            return
        # All of one group: the scheduler then hands them out in their order.
        self._runs += 1
        keys = [(f"cmodel-{self.token}-{self._runs}", number) for number in range(len(pieces))]
        futures = self._client.map(
            _doer(), [request(job, piece) for piece in pieces], key=keys, pure=False
        )
        pending = {future.key: future for future in futures}
        del futures
        lost: list[str] = []
        try:
            for future, result in as_completed(
                list(pending.values()),
                loop=self._client.loop,
                with_results=True,
                raise_errors=False,
            ):
                number, status = future.key[1], future.status
                # Held any longer, an answer that is here would be made again where its worker dies.
                pending.pop(future.key).release()
                if status == "cancelled":
                    raise ExecutorError(
                        "the scheduler is gone",
                        where=self.address,
                        hint="start it again, with its workers, and repeat the call",
                    )
                if status == "error":
                    if not isinstance(result[1], KilledWorker):
                        raise result[1]
                    lost.append(str(result[1]))
                    continue
                data = json.loads(result)
                if "error" in data:
                    raise error_of(data["error"])
                yield number, data["answer"]
        finally:
            if pending:
                self._give_up(list(pending.values()))
        if lost:
            raise ExecutorError(
                f"{len(lost)} of {len(pieces)} pieces lost their workers too often",
                where=self.address,
                notes=[_first_line(lost[0])],
                hint="the logs of the workers tell why they ended, often for want of memory",
            )

    def ranges(self, total: int, step: int) -> list[tuple[int, int]]:
        """Cut into some ranges for each worker."""
        size = min(ceil(total / (_RANGES_PER_SLOT * self.width)), _MAX_RANGE)
        size = step * max(ceil(size / step), 1)
        return [(start, min(start + size, total)) for start in range(0, total, size)]

    def files(self, paths: Sequence[Path]) -> list[list[Any]]:
        """Return size and hash of each file that is here."""
        return [fingerprint(path.absolute()) for path in paths if path.exists()]

    def close(self) -> None:
        """Leave the scheduler; it and its workers stay."""
        self._client.close()

    def _give_up(self, futures: list[Any]) -> None:
        """Tell the scheduler that these are not needed any more, if it is still there."""
        if self._client.status == "running":
            self._client.cancel(futures, force=True)


def _doer() -> Callable[[str], str]:
    """Return the function that workers run.

    Made within a function it travels as its code: the scheduler, which reads what it hands on,
    needs no cmodel, and a worker without one can say so.
    """

    def do(text: str) -> str:
        from distributed import get_worker

        where = get_worker().address
        try:
            from cmodel.executor.worker import answer
        except ImportError as error:
            import json

            return json.dumps(
                {
                    "error": {
                        "name": "unsupported",
                        "message": f"the worker has no cmodel, or an old one: {error}",
                        "where": None,
                        "notes": [f"on the worker {where}"],
                        "hint": "install the same version everywhere",
                    }
                }
            )
        return answer(text, where)

    return do


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
