"""PyTorch, which is optional."""

from __future__ import annotations

from importlib.util import find_spec

from cmodel.errors import MissingExtraError


def need_torch(what: str) -> None:
    """Raise MissingExtraError where PyTorch is not installed."""
    if find_spec("torch") is None:
        raise MissingExtraError(what, "finetune")
