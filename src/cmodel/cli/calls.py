"""A call of a command as plain data, so that another process can take part in it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

# What names a file or folder, relative to where the command was called.
_READ = (
    "model",
    "weights",
    "data",
    "labels",
    "root",
    "mean_file",
    "transform_from",
    "calib",
    "train",
    "train_labels",
    "class_names",
    "recipe",
)
_WRITTEN = ("cache", "checkpoints")
_AS_PATH = ("mean_file", "cache", "checkpoints")
_AS_TUPLE = ("scale", "mean_value")


def frozen(args: argparse.Namespace, **changes: Any) -> dict[str, Any]:
    """Return a call as plain data, with changes, its paths absolute."""
    call = vars(args) | changes
    for name in (*_READ, *_WRITTEN):
        if call.get(name) is not None:
            call[name] = str(Path(call[name]).absolute())
    return call


def thawed(call: dict[str, Any]) -> argparse.Namespace:
    """Return the arguments of a call that `frozen` made plain data."""
    args = argparse.Namespace(**call)
    for name in _AS_PATH:
        if getattr(args, name, None) is not None:
            setattr(args, name, Path(getattr(args, name)))
    for name in _AS_TUPLE:
        if hasattr(args, name):
            setattr(args, name, tuple(getattr(args, name)))
    return args


def files_of(call: dict[str, Any]) -> list[Path]:
    """Return the files and folders that a call reads."""
    return [Path(call[name]) for name in _READ if call.get(name) is not None]


def key_of(token: str, call: dict[str, Any]) -> str:
    """Return what pieces of one call have in common; token : of their executor."""
    return json.dumps([token, call], sort_keys=True)
