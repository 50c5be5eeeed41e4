"""The tutorial and the guides, command by command, in a copy of the example that they speak of."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pages import DOCS, blocks, copy_example, lines, programs, write_files

from cmodel.cli import parse

TUTORIAL = DOCS / "tutorial.md"


@pytest.fixture
def follow(run, tmp_path, monkeypatch):
    """Do what a page says: follow(page) -> what its commands printed, command by command."""
    folder = copy_example(tmp_path)
    monkeypatch.chdir(folder)

    def call(page: Path) -> list[str]:
        write_files(page, folder)
        commands = lines(page, "console")
        assert len(commands) >= 6
        printed = []
        for line in commands:
            command, *words = shlex.split(line)
            assert command == "cmodel"
            result = run(*words)
            assert result.status == 0, f"{line}\n{result.err}"
            printed.append(result.out)
        return printed

    return call


def python(page: Path) -> str:
    """Run the program of a page and return what it printed."""
    (program,) = programs(page, "python")
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tutorial_runs(follow):
    follow(TUTORIAL)
    label, score = python(TUTORIAL).split()
    assert 0 <= int(label) < 10
    assert 0.1 <= float(score) <= 1
    sizes = {name: Path(f"{name}.cmodel").stat().st_size for name in ("safe", "small")}
    assert sizes["small"] <= 4 * 431080 / 40 < sizes["safe"]


def test_the_chinese_tutorial_has_the_commands_of_the_tutorial_that_runs():
    chinese = DOCS / "zh" / "tutorial.md"
    assert len(blocks(chinese)) == len(blocks(TUTORIAL))
    for there, here in zip(blocks(chinese), blocks(TUTORIAL), strict=True):
        # Comments are in the language of the page.
        assert there.language == here.language
        assert re.sub("  # .*", "", there.text) == re.sub("  # .*", "", here.text)


def test_the_guide_that_helps_to_choose_runs(follow):
    follow(DOCS / "guides" / "choose.md")
    sizes = {path.stem: path.stat().st_size for path in Path().glob("*.cmodel")}
    assert sizes["small"] < sizes["table"] < sizes["safe"] < sizes["exact"] < 1_724_993
    assert sizes["thin"] < sizes["safe"]
    assert len(Path("results.jsonl").read_text().splitlines()) == 3


def test_the_guide_to_onnx_runs(follow):
    page = DOCS / "guides" / "onnx.md"
    printed = follow(page)
    (compared,) = (out for out in printed if "top-1 agreement" in out)
    assert "no blob differs by more than 0.0001" in compared
    assert float(python(page).split()[-1]) < 1e-5
    sizes = {name: Path(name).stat().st_size for name in ("lenet.onnx", "small.onnx")}
    assert 3.5 < sizes["lenet.onnx"] / sizes["small.onnx"] < 4.2
    assert Path("again.prototxt").is_file()


@pytest.mark.parametrize("page", [TUTORIAL, DOCS / "guides" / "choose.md"], ids=lambda p: p.stem)
def test_the_commands_that_take_long_parse(page):
    found = lines(page, "sh")
    assert found
    for line in found:
        assert parse(shlex.split(line)[1:]).command == "pack"


def test_blocks_of_a_page_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('a\n```c title="x/a.c"\nint a;\n```\n`b`\n```console\none\ntwo\n```\n')
    assert [(block.language, block.title) for block in blocks(page)] == [
        ("c", "x/a.c"),
        ("console", ""),
    ]
    assert lines(page, "console") == ["one", "two"]
    write_files(page, tmp_path)
    assert (tmp_path / "x" / "a.c").read_text() == "int a;\n"
