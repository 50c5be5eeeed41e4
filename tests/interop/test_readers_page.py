"""The guide to the readers: its programs in C, JavaScript and Rust tell the same of one file."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from tests.pages import DOCS, copy_example, lines, write_files

import cmodel
from cmodel.cli import main

PAGE = DOCS / "guides" / "readers.md"
TOOLS = {"cc": "cc", "./list": "cc", "node": "node", "cargo": "cargo"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the example with the programs of the page and the file that it packs."""
    made = copy_example(tmp_path_factory.mktemp("page"))
    write_files(PAGE, made)
    (pack,) = (line for line in lines(PAGE, "console") if line.startswith("cmodel "))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert main(pack.split()[1:]) == 0
    return made


@pytest.fixture(scope="module")
def expected(folder):
    net = cmodel.load(folder / "net.cmodel")
    rows = []
    for name in (name for layer in net.layers for name in layer.parameters):
        values = net.parameters[name].to_dense()
        rows.append(f"{name} {values.size} {np.abs(values).max():.6f}")
    assert len(rows) == 8
    return rows


@pytest.mark.parametrize("language", ["cc", "node", "cargo"])
def test_the_programs_of_the_page_run(language, folder, expected):
    if shutil.which(language) is None:
        pytest.skip(f"{language} is not installed")
    commands = [line for line in lines(PAGE, "console") if TOOLS.get(line.split()[0]) == language]
    assert commands
    for line in commands:
        done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert done.stdout.splitlines() == expected


def test_every_command_of_the_page_is_run():
    assert {line.split()[0] for line in lines(PAGE, "console")} == {"cmodel", *TOOLS}
