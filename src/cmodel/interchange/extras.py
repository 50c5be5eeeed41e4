"""Optional packages."""

from __future__ import annotations

from importlib.util import find_spec

from cmodel.errors import MissingExtraError


def need(module: str, what: str, extra: str) -> None:
    """Raise MissingExtraError where a module is not installed."""
    if find_spec(module) is None:
        raise MissingExtraError(what, extra)
