"""Dropout: nothing at test time."""

from __future__ import annotations

from cmodel.engine.ops.op import Alias


class Dropout(Alias):
    """The bottom's values."""
