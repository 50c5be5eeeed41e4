"""Split."""

from __future__ import annotations

from cmodel.engine.ops.op import Alias


class Split(Alias):
    """The bottom's values."""
