"""Writes a container to its place: whole, verified, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmodel.container.levels import DEFAULT_LEVEL
from cmodel.container.verify import verify
from cmodel.container.writer import NoteDetail, write_to
from cmodel.files import atomic_path
from cmodel.net import Net


@contextmanager
def stored(
    net: Net,
    path: str | os.PathLike[str],
    *,
    keep: bool = True,
    level: int = DEFAULT_LEVEL,
    notes: NoteDetail = "auto",
) -> Iterator[Path]:
    """Write `net` to a temporary file, verify it, and move it to `path` at the end of the block.

    The block gets the temporary file, so that it can measure before it decides: an error in it, or
    `keep` = False, leaves `path` as it was. `level`, 1 to 9, bounds the time that decoding takes:
    to 50 ms or the fastest coders, unless it is 9. `notes` is as for `write_to`.

    Raises
    ------
    OutputError : the place cannot be written.
    NetError : a parameter belongs to no layer.
    """
    with atomic_path(path, keep=keep) as temporary:
        with temporary.open("wb") as file:
            write_to(file, net, level=level, notes=notes)
        for damage in verify(temporary).damages:
            raise damage.error
        yield temporary


def write(
    net: Net,
    path: str | os.PathLike[str],
    *,
    level: int = DEFAULT_LEVEL,
    notes: NoteDetail = "auto",
) -> int:
    """Write `net` as a container to `path`, verified, or not at all; return its bytes.

    The same net gives the same bytes on every machine with the same zlib. Errors as `stored`.
    """
    with stored(net, path, level=level, notes=notes) as temporary:
        return temporary.stat().st_size
