"""Checkpoints: named arrays in an .npz, nothing that could run code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.errors import InputError
from cmodel.files import atomic_write

Arrays = Mapping[str, NDArray[Any]]


@dataclass
class State:
    """Where a training stands.

    arrays : by name. facts : plain data (epoch, history, what it is a state of).
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def save(path: Path, state: State) -> None:
    """Write a checkpoint whole or not at all.

    Raises
    ------
    OutputError
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = np.frombuffer(json.dumps(state.facts).encode(), np.uint8)
    with atomic_write(path) as file:
        np.savez(file, **{"facts.json": text, **state.arrays})  # type: ignore[arg-type]


def load(path: Path) -> State:
    """Read a checkpoint.

    Raises
    ------
    InputError : it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts = json.loads(arrays.pop("facts.json").tobytes())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"it is no checkpoint: {error}", where=str(path), hint="remove it to start anew"
        ) from error
    return State(arrays, facts)
