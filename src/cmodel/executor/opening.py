"""Executors by the name that a call gives them."""

from __future__ import annotations

from urllib.parse import urlsplit

from cmodel.errors import UsageError
from cmodel.executor.base import Executor
from cmodel.executor.local import Local

SCHEME = "dask"


def open_executor(text: str) -> Executor:
    """Return the executor of `local` or `dask://HOST:PORT`.

    Raises
    ------
    UsageError : it is neither.
    MissingExtraError : dask is asked for and not installed.
    ExecutorError : the scheduler cannot be reached, or has no workers.
    """
    if text == "local":
        return Local()
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if host is None or port is None or url.scheme != SCHEME or url.path or url.query:
        raise UsageError(
            f"there is no executor `{text}`", hint="it is `local` or `dask://HOST:PORT`"
        )
    from cmodel.executor.remote import Dask

    return Dask(f"[{host}]" if ":" in host else host, port)
