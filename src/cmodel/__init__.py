"""Makes the smallest file of a trained Caffe network that still answers as well, and runs it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cmodel._version import __version__

if TYPE_CHECKING:
    from cmodel.api import load, save
    from cmodel.compress.automatic import compress
    from cmodel.engine import Engine
    from cmodel.net import Net

__all__ = ["Engine", "Net", "__version__", "compress", "load", "save"]

# Imported at first use: `import cmodel` stays quick.
_HOMES = {
    "Engine": "cmodel.engine",
    "Net": "cmodel.net",
    "compress": "cmodel.compress",
    "load": "cmodel.api",
    "save": "cmodel.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module `cmodel` has no attribute `{name}`")
