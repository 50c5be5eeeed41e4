"""Reshape."""

from __future__ import annotations

from cmodel.engine.ops.op import Alias


class Reshape(Alias):
    """The bottom's values."""
