"""What the pieces of one run share in a process: made once, not for each piece."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")
_ALL: WeakSet[Kept[Any]] = WeakSet()


class Kept(Generic[T]):
    """Keeps the last thing that was made, one in each thread: nets and engines are not shared."""

    def __init__(self) -> None:
        self._local = threading.local()
        _ALL.add(self)

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Return what was made for this key, or make it; what another key had goes first."""
        if getattr(self._local, "key", None) != key:
            self.forget()
            self._local.value = make()
            self._local.key = key
        value: T = self._local.value
        return value

    def forget(self) -> None:
        """Let this thread's go."""
        self._local.key = self._local.value = None


def forget_all() -> None:
    """Let everything go that this thread keeps."""
    for kept in list(_ALL):
        kept.forget()
