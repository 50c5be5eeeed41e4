"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cmodel.errors import OutputError


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` and rename it to `path` at a clean end of the block.

    On an error the temporary file is removed and `path` is as it was.

    Raises
    ------
    OutputError : the place cannot be written, or `path` exists and `overwrite` is false.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"cannot write `{target}`: it is a folder")
    if target.exists() and not overwrite:
        raise OutputError(f"`{target}` exists already", hint="-f overwrites it")
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise OutputError(f"cannot write `{target}`: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            # mkstemp makes files that only their owner can read; give what open() would.
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(file.fileno(), 0o666 & ~umask)
            yield file
        Path(temporary).replace(target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"cannot write `{target}`: {error.strerror or error}") from error
        raise
