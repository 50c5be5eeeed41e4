"""The tutorial, command by command, in a copy of the example that it speaks of."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from cmodel.cli import parse

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def test_the_tutorial_runs(run, tmp_path, monkeypatch):
    for file in (ROOT / "examples" / "lenet-fashion").iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = "".join(blocks(PAGE, "console")).splitlines()
    assert len(lines) > 8
    for line in lines:
        command, *words = shlex.split(line)
        assert command == "cmodel"
        result = run(*words)
        assert result.status == 0, f"{line}\n{result.err}"
    (program,) = blocks(PAGE, "python")
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    label, score = done.stdout.split()
    assert 0 <= int(label) < 10
    assert 0.1 <= float(score) <= 1
    sizes = {name: Path(f"{name}.cmodel").stat().st_size for name in ("safe", "small")}
    assert sizes["small"] <= 4 * 431080 / 40 < sizes["safe"]


def test_the_commands_that_take_long_parse():
    lines = "".join(blocks(PAGE, "sh")).splitlines()
    assert lines
    for line in lines:
        assert parse(shlex.split(line)[1:]).command == "pack"
