"""The one thread count of the process."""

from __future__ import annotations

import os

_count: int | None = None


def thread_count() -> int:
    """Return how many threads to use: what was set, or the cores that this process may use."""
    if _count is not None:
        return _count
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_thread_count(count: int | None) -> None:
    """Set how many threads everything uses from now on; None for all cores it may use."""
    global _count
    if count is not None and count < 1:
        raise ValueError(f"a process has at least one thread, not {count}")
    _count = count
