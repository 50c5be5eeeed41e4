"""Fixtures of the golden tests."""

import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def formats(tmp_path_factory) -> Path:
    """Folder with the cases of formats/formats.zip."""
    folder = tmp_path_factory.mktemp("formats")
    with zipfile.ZipFile(Path(__file__).parent / "formats" / "formats.zip") as archive:
        archive.extractall(folder)
    return folder
