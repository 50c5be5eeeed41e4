"""The readers of spec/readers, built once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

READERS = Path(__file__).resolve().parents[2] / "spec" / "readers"


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the Rust crate and return the folder of its programs."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    target = tmp_path_factory.mktemp("target")
    command = [cargo, "build", "--release", "--offline", "--locked", "--bins", "--examples"]
    built = subprocess.run(
        command,
        cwd=READERS / "rust",
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return target / "release"
