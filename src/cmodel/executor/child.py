"""One piece in a process of its own.

Such a process has a high water of memory of its own, and takes nothing along when it dies. It ends
when the process that waits for it does, however that ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import cmodel
from cmodel.errors import CmodelError, LimitError, error_facts
from cmodel.executor.base import Answer, Job, Piece, name_of
from cmodel.executor.worker import find_job
from cmodel.threads import set_thread_count

_TASK, _ANSWER, _ERRORS = "task.json", "answer.json", "stderr"


def in_child(job: Job, piece: Piece, threads: int | None) -> Answer:
    """Do a piece in a process of its own.

    Returns {"answer": ..., "peak_memory": bytes or None}, or "error" (of `error_facts`) instead of
    the answer: what the job raised, or `crash` where the process died.

    Raises
    ------
    KeyboardInterrupt : that ended the process.
    """
    with tempfile.TemporaryDirectory(prefix="cmodel-piece-") as name:
        folder = Path(name)
        task = {"job": name_of(job), "piece": piece, "threads": threads}
        (folder / _TASK).write_text(json.dumps(task), "utf-8")
        status = _run(folder)
        if status == 0 and (folder / _ANSWER).exists():
            found: Answer = json.loads((folder / _ANSWER).read_text("utf-8"))
            return found
        if status == -signal.SIGINT:
            raise KeyboardInterrupt
        lines = (folder / _ERRORS).read_text("utf-8", "replace").strip().splitlines()
    message = f"the process ended with the status {status}"
    if status < 0:
        message = f"the process was ended by the signal {-status}"
    return {"error": error_facts(CmodelError(message, notes=lines[-3:])) | {"name": "crash"}}


def _run(folder: Path) -> int:
    # The process finds this very package, wherever it was imported from.
    source = str(Path(cmodel.__file__).resolve().parent.parent)
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    with (folder / _ERRORS).open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            # Nothing is ever written to it: its end tells the child that nobody waits any more.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        with process:
            try:
                return process.wait()
            except BaseException:
                process.kill()
                raise


def peak_memory() -> int | None:
    """Return the most bytes of memory that this process has held; None where it cannot be told."""
    # Linux hands ru_maxrss of the parent down to a new program, VmHWM is the program's own.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # not a POSIX system
        return None
    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return high if sys.platform == "darwin" else 1024 * high


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def main(name: str) -> None:
    """Do the task of this folder."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = Path(name)
    task = json.loads((folder / _TASK).read_text("utf-8"))
    set_thread_count(task["threads"])
    found: dict[str, Any]
    try:
        found = {"answer": find_job(task["job"])(task["piece"], lambda done, total, what: None)}
    except CmodelError as error:
        found = {"error": error_facts(error)}
    except MemoryError:
        found = {"error": error_facts(LimitError("there is not enough memory"))}
    found["peak_memory"] = peak_memory()
    (folder / _ANSWER).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
