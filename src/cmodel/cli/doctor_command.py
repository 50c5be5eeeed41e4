"""`cmodel doctor`: facts about this installation, for bug reports."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from cmodel._version import __version__
from cmodel.cli.terminal import Terminal

HELP = "tell about this installation: versions, instruction set, threads, extras"
EXAMPLES = "  cmodel doctor --json"

PACKAGES = ("numpy", "scipy", "scikit-learn", "protobuf", "threadpoolctl", "rich")
# What each extra brings: (extra, importable module).
EXTRAS = (
    ("completion", "shtab"),
    ("dask", "distributed"),
    ("finetune", "torch"),
    ("hdf5", "h5py"),
    ("images", "PIL"),
    ("onnx", "onnx"),
    ("safetensors", "safetensors"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """It has no arguments of its own."""


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Collect and print."""
    from threadpoolctl import threadpool_info

    from cmodel import _simd
    from cmodel.container.layout import VERSION
    from cmodel.threads import thread_count

    # Loads SciPy's BLAS, so that it is among the libraries listed.
    import_module("cmodel.engine.ops.registry")
    blas = [
        {
            "library": pool["internal_api"],
            "version": pool["version"],
            "kernel": pool.get("architecture"),
        }
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    facts: dict[str, Any] = {
        "cmodel": __version__,
        "format": f"{VERSION[0]}.{VERSION[1]}",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "byte_order": sys.byteorder,
        "threads": thread_count(),
        "simd": _simd.level(),
        "simd_available": list(_simd.available()),
        "openmp": _simd.openmp(),
        "blas": blas,
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "extras": {extra: find_spec(module) is not None for extra, module in EXTRAS},
    }
    lines = [f"{key:15} {_value(value)}" for key, value in facts.items()]
    terminal.document("doctor", facts, "\n".join(lines))
    return 0


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "; ".join(_value(inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
