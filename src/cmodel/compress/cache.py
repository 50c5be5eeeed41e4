"""A folder of arrays that were computed before, found again by what they were computed from."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from math import prod
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from cmodel._version import __version__
from cmodel.errors import OutputError
from cmodel.files import atomic_path

Doubles = NDArray[np.float64]

# Most bytes of all files together; the oldest go first.
MAX_BYTES = 1 << 30
# What took fewer seconds is computed again.
LEAST_SECONDS = 1.0
_NAME = re.compile(r"[0-9a-f]{64}\.npz")


class Cache:
    """Arrays in files of a folder, which is made when there is something to keep.

    A file that is damaged is computed anew; a folder that cannot be written keeps nothing. Neither
    is an error: the warning says so.

    Parameters
    ----------
    folder : where the files lie; others in it are left alone.
    on_warning : called with each warning.
    most : bytes that the files have together, at most.
    least_seconds : what was computed faster is not kept.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        on_warning: Callable[[str], None] | None = None,
        most: int = MAX_BYTES,
        least_seconds: float = LEAST_SECONDS,
    ) -> None:
        self.folder = Path(folder)
        self.most = most
        self.least_seconds = least_seconds
        self._on_warning = on_warning
        self._writable = True

    def get(
        self, key: tuple[bytes, ...], compute: Callable[[], Mapping[str, Doubles]]
    ) -> Mapping[str, Doubles]:
        """Return the arrays of a key, float64 by name: from its file, or computed and kept.

        key : all that the arrays depend on but the version of the package, which is added.
        """
        digest = sha256(__version__.encode())
        for part in key:
            digest.update(len(part).to_bytes(8, "little") + part)
        path = self.folder / f"{digest.hexdigest()}.npz"
        known = self._read(path)
        if known is not None:
            return known
        start = perf_counter()
        found = compute()
        if perf_counter() - start >= self.least_seconds:
            self._write(path, found)
        return found

    def _read(self, path: Path) -> dict[str, Doubles] | None:
        try:
            found = _arrays(path)
            # The time of the last use tells what goes first.
            with suppress(OSError):
                os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            if self.folder.is_dir():
                self._warn(f"`{path}` is damaged and is computed anew: {error}")
            return None
        return found

    def _write(self, path: Path, arrays: Mapping[str, Doubles]) -> None:
        size = sum(array.nbytes for array in arrays.values())
        if size > self.most or not self._writable:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size, path)
            with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        values = np.ascontiguousarray(array, "<f8")
                        np.lib.format.write_array(member, values, (1, 0), allow_pickle=False)
        except (OSError, OutputError) as error:
            self._writable = False
            self._warn(f"the statistics are not kept for the next run: {error}")

    def _make_room(self, size: int, path: Path) -> None:
        files = [
            (file.stat().st_mtime, file.stat().st_size, file)
            for file in self.folder.iterdir()
            if _NAME.fullmatch(file.name) and file != path
        ]
        taken = size + sum(file_size for _, file_size, _ in files)
        for _, file_size, file in sorted(files):
            if taken <= self.most:
                break
            file.unlink(missing_ok=True)
            taken -= file_size

    def _warn(self, text: str) -> None:
        if self._on_warning is not None:
            self._on_warning(text)


def _arrays(path: Path) -> dict[str, Doubles]:
    """Read a file; nothing larger than it is allocated. The archive's CRC-32 are checked."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it is not as it was written")
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or not info.filename.endswith(".npy"):
                raise ValueError(f"`{info.filename}` is not as it was written")
            with archive.open(info) as member:
                if np.lib.format.read_magic(member) != (1, 0):
                    raise ValueError(f"`{info.filename}` is of another version")
                shape, by_columns, kind = np.lib.format.read_array_header_1_0(member)
                data = member.read()
            if by_columns or kind != np.dtype("<f8") or len(data) != 8 * prod(shape):
                raise ValueError(f"`{info.filename}` is not as it was written")
            values = np.frombuffer(data, "<f8").reshape(shape)
            found[info.filename.removesuffix(".npy")] = values.astype(np.float64, copy=False)
    return found
