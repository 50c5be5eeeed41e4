"""The one limit on the threads of BLAS and OpenMP, shared by all that run at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any  # threadpoolctl has no types

from threadpoolctl import ThreadpoolController

_lock = Lock()
# The limits of those that run now, and each library with the count that it had before them.
_limits: list[int] = []
_originals: dict[str, tuple[Any, int]] = {}
_found: tuple[int, Any] = (-1, None)


def _libraries() -> list[Any]:
    """Return the loaded libraries, looked up again only when modules have been imported since."""
    global _found
    if _found[0] != len(sys.modules):
        _found = (len(sys.modules), ThreadpoolController())
    libraries: list[Any] = _found[1].lib_controllers
    return libraries


def _of_one_thread(library: Any) -> bool:
    """Return whether the count is one for each thread that calls, as with OpenMP."""
    return "openmp" in (library.user_api, getattr(library, "threading_layer", None))


def _apply() -> None:
    for library, original in _originals.values():
        # Some versions of threadpoolctl let only the first thread that asks set OpenBLAS, and
        # ignore the others; ours take turns under the lock.
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)
        library.set_num_threads(min([original, *_limits]))
        if release is not None:
            release(force=True)


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Limit every loaded BLAS, and the calling thread's OpenMP, to so many threads at most.

    Where a library has one count for the whole process, the smallest limit of all concurrent users
    holds, and the last one to leave restores what was there before the first. Where it has a count
    for each thread, that of other threads stays as it is.
    """
    own: list[tuple[Any, int]] = []
    with _lock:
        for library in _libraries():
            if _of_one_thread(library):
                own.append((library, library.num_threads))
            elif library.filepath not in _originals:
                _originals[library.filepath] = (library, library.num_threads)
        _limits.append(threads)
        _apply()
    for library, original in own:
        library.set_num_threads(min(threads, original))
    try:
        yield
    finally:
        for library, original in own:
            library.set_num_threads(original)
        with _lock:
            _limits.remove(threads)
            _apply()
            if not _limits:
                _originals.clear()
