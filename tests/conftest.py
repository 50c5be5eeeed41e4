"""Fixtures shared by all tests."""

import os
from pathlib import Path

import hypothesis
import pytest

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("cmodel", deadline=None)
hypothesis.settings.load_profile("cmodel")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the models and test sets of docs/data.md (CMODEL_DATA)."""
    folder = Path(os.environ.get("CMODEL_DATA", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no test data at {folder} (set CMODEL_DATA, see docs/data.md)")
    return folder
