"""Help texts, their examples, and the completion of shells."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from cmodel.cli import COMMANDS, build_parser, command_module, parse
from cmodel.cli.completion_command import SHELLS

LINES = [
    line
    for name in COMMANDS
    for line in re.sub(r"\\\n\s*", "", command_module(name).EXAMPLES).splitlines()
]


@pytest.mark.parametrize("line", LINES)
def test_examples_parse(line):
    words = shlex.split(line.partition(" > ")[0].partition(" | ")[0], comments=True)
    assert words[0] == "cmodel"
    assert parse(words[1:]).command == words[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_examples_in_its_help(name, capsys):
    module = command_module(name)
    assert f"cmodel {name}" in module.EXAMPLES
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args([name, "--help"])
    assert end.value.code == 0
    assert f"examples:\n{module.EXAMPLES}" in capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_names_every_command_and_option(run, shell):
    result = run("completion", shell)
    assert result.status == 0, result.err
    for word in (*COMMANDS, "max-loss", "mean-file"):
        assert word in result.out
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=result.out, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr


def completions(script: str, folder, *words: str) -> set[str]:
    """Complete the last of the words in a real bash."""
    line = " ".join(shlex.quote(word) for word in ("cmodel", *words))
    program = f"""{script}
COMP_WORDS=({line})
COMP_CWORD={len(words)}
"$(complete -p cmodel | sed 's/.*-F \\([^ ]*\\).*/\\1/')" cmodel {shlex.quote(words[-1])} x
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", program], cwd=folder, text=True, capture_output=True, check=True
    )
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_choices_and_files(run, tmp_path):
    script = run("completion", "bash").out
    (tmp_path / "deploy.prototxt").touch()
    assert completions(script, tmp_path, "pa") == {"pack"}
    assert completions(script, tmp_path, "pack", "--max-l") == {"--max-loss"}
    assert completions(script, tmp_path, "recipe", "") >= {"init", "check", "schema"}
    assert completions(script, tmp_path, "completion", "z") == {"zsh"}
    assert "deploy.prototxt" in completions(script, tmp_path, "pack", "dep")


def test_without_shtab_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    result = run("completion", "bash")
    assert result.status == 4
    assert "cmodel-nn[completion]" in result.err
