"""What a worker does with a request: text in, text out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from cmodel._version import __version__
from cmodel.errors import CmodelError, InputError, UnsupportedError, error_facts
from cmodel.executor.base import Answer, Job, Piece, Tell, name_of
from cmodel.files import digest

# Larger files are told apart by their size alone.
MAX_DIGEST = 1 << 30
SAME_PATHS = "every worker reads the files itself, at the same paths as the caller"


def request(job: Job, piece: Piece) -> str:
    """Return a piece and its job as text."""
    return json.dumps({"version": __version__, "job": name_of(job), "piece": piece})


def answer(text: str, where: str) -> str:
    """Do a request; return the answer, or the error in its place, as text.

    where : names this worker in errors.
    """
    data = json.loads(text)
    try:
        if data["version"] != __version__:
            raise UnsupportedError(
                f"the worker has cmodel {__version__}, the caller {data['version']}",
                hint="install the same version everywhere",
            )
        check_files(data["piece"].get("files", []))
        found = find_job(data["job"])(data["piece"], lambda done, total, what: None)
    except CmodelError as error:
        error.notes = (*error.notes, f"on the worker {where}")
        return json.dumps({"error": error_facts(error)})
    return json.dumps({"answer": found})


def find_job(name: str) -> Job:
    """Return the function of a name "module:function" of this package."""
    module, _, function = name.partition(":")
    if module.partition(".")[0] != __package__.partition(".")[0]:
        raise ValueError(f"`{name}` is no job")
    job: Job = getattr(import_module(module), function)
    return job


def nothing(piece: Piece, tell: Tell) -> Answer:
    """Do nothing: the job that shows what a piece costs by itself."""
    return {}


def fingerprint(path: Path) -> list[Any]:
    """Return [path, size, SHA-256]: no size of a folder, no hash of a very large file.

    Raises
    ------
    InputError : it cannot be read.
    """
    if path.is_dir():
        return [str(path), None, None]
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(path)) from error
    size = facts.st_size
    return [str(path), size, _digest(path, size, facts.st_mtime_ns) if size <= MAX_DIGEST else None]


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, time: int) -> str:
    """Return the hash, read once while size and time stay: many pieces state the same files."""
    return digest(path)


def check_files(files: Sequence[Sequence[Any]]) -> None:
    """Hold the caller's files against those here.

    Raises
    ------
    InputError : one is missing, or is another one.
    """
    for name, *facts in files:
        try:
            here = fingerprint(Path(name))
        except InputError as error:
            error.hint = SAME_PATHS
            raise
        if here[1:] != facts:
            raise InputError("it is not the file that the caller has", where=name, hint=SAME_PATHS)
