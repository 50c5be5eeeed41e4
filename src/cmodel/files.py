"""Writing files whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cmodel.errors import CmodelError, InputError, OutputError


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, keep: bool = True) -> Iterator[Path]:
    """Give an empty temporary file beside `path`; rename it to `path` at a clean end of the block.

    On an error, or without `keep`, the temporary file is removed and `path` is as it was.

    Raises
    ------
    OutputError : the place cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"cannot write `{target}`: it is a folder")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise OutputError(f"cannot write `{target}`: {error.strerror}") from error
    temporary = Path(name)
    try:
        # mkstemp makes files that only their owner can read; give what open() would.
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(descriptor, 0o666 & ~umask)
        os.close(descriptor)
        yield temporary
        if keep:
            temporary.replace(target)
    except CmodelError as error:
        _rename(error, temporary, target)
        raise
    except OSError as error:
        raise OutputError(f"cannot write `{target}`: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` only at a clean end of the block.

    Raises
    ------
    OutputError : the place cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_files(
    folder: str | os.PathLike[str], *, force: bool = False, keep: bool = True
) -> Iterator[Path]:
    """Give an empty temporary folder; move its files to `folder` at a clean end of the block.

    On an error, or without `keep`, `folder` is as it was. Existing files stop it unless `force`.

    Raises
    ------
    OutputError : the place cannot be written, or holds such a file already.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cmodel-", dir=target) as name:
            try:
                yield Path(name)
            except CmodelError as error:
                _rename(error, Path(name), target)
                raise
            files = sorted(Path(name).iterdir()) if keep else []
            for file in files:
                refuse_existing(target / file.name, force)
            for file in files:
                file.replace(target / file.name)
    except OSError as error:
        raise OutputError(f"cannot write to `{target}`: {error.strerror or error}") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex.

    Raises
    ------
    InputError : it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(path)) from error


def _rename(error: CmodelError, temporary: Path, target: Path) -> None:
    """Let an error name the place that its reader knows."""
    if error.where is not None:
        error.where = error.where.replace(str(temporary), str(target))


def refuse_existing(path: Path, force: bool) -> None:
    """Raise OutputError where `path` exists, unless `force` allows to replace it."""
    if path.is_dir():
        raise OutputError(f"cannot write `{path}`: it is a folder")
    if path.exists() and not force:
        raise OutputError(f"`{path}` exists already", hint="-f overwrites it")
