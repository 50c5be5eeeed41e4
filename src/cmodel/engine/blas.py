"""Holds BLAS at one thread while an engine runs: the engine's own threads share the work out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any  # threadpoolctl has no types

from threadpoolctl import ThreadpoolController

_lock = Lock()
_running = 0
_limiter: Any = None


@cache
def _controller() -> Any:
    # Looks at the loaded libraries, so it is made once, after SciPy's BLAS has been loaded.
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit every BLAS to one thread; the last of several concurrent users restores them."""
    global _running, _limiter
    with _lock:
        if _running == 0:
            _limiter = _controller().limit(limits=1)
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _limiter.restore_original_limits()
