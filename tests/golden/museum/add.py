"""Adds containers to the museum and its index; what is there stays as it is.

python tests/golden/museum/add.py FILE ...
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cmodel.container import Container
from cmodel.tensors import FloatArray, Product

HERE = Path(__file__).resolve().parent
INDEX = HERE / "index.json"


def listed(values: FloatArray) -> dict[str, Any]:
    """Return shape and SHA-256 of decoded values."""
    words = np.ascontiguousarray(values, "<f4").tobytes()
    return {"shape": list(values.shape), "sha256": hashlib.sha256(words).hexdigest()}


def facts_of(path: Path) -> dict[str, Any]:
    """Return what the index says of a file."""
    opened = Container(path)
    tensors = {}
    for tensor in opened.tensors:
        form = opened.form(tensor.name)
        if isinstance(form, Product) and form.rotation is not None:
            tensors[f"{tensor.name}:blocks"] = listed(form.blocks())
            tensors[f"{tensor.name}:rotation"] = listed(form.rotation)
        else:
            tensors[tensor.name] = listed(form.to_dense())
    return {
        "format": "{}.{}".format(*opened.version),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors": tensors,
    }


def main() -> None:
    """Add the files that are named."""
    index = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    for path in map(Path, sys.argv[1:]):
        target = HERE / path.name
        if path.name in index or target.exists():
            sys.exit(f"{path.name} is in the museum, and stays as it is")
        target.write_bytes(path.read_bytes())
        index[path.name] = facts_of(target)
    INDEX.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
