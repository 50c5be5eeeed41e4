"""Flatten."""

from __future__ import annotations

from cmodel.engine.ops.op import Alias


class Flatten(Alias):
    """The bottom's values."""
