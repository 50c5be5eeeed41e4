"""Environments for peers whose packages do not go with those of the development environment."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path


def environment(folder: Path, requirements: Path) -> Path:
    """Make an environment if need be, or again when the requirements changed; return its Python."""
    python = folder / "bin" / "python"
    stamp = folder / ".installed"
    if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
        print(f"installing {requirements.name} into {folder} (several GB)", file=sys.stderr)
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "--quiet", "install", "-r", str(requirements)]
        subprocess.run(install, check=True, stdout=sys.stderr)
        stamp.write_bytes(requirements.read_bytes())
    return python
