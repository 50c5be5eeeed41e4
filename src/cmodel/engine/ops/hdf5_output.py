"""HDF5Output: uses up blobs; no file is written."""

from __future__ import annotations

from cmodel.engine.ops.op import Alias


class HDF5Output(Alias):
    """No tops."""
