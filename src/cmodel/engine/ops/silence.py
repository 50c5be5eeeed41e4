"""Silence: uses up blobs, does nothing."""

from __future__ import annotations

from cmodel.engine.ops.op import Alias


class Silence(Alias):
    """No tops."""
