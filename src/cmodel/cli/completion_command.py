"""`cmodel completion`: a script that completes the commands in a shell."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cmodel.cli.terminal import Terminal
from cmodel.errors import MissingExtraError

HELP = "print a script that completes the commands in bash, zsh or fish"
EXAMPLES = """\
  cmodel completion bash > ~/.local/share/bash-completion/completions/cmodel
  cmodel completion zsh > ~/.zfunc/_cmodel
  cmodel completion fish > ~/.config/fish/completions/cmodel.fish"""

SHELLS = ("bash", "zsh", "fish")
# What stands for files and folders in the help of the commands.
_FILES = frozenset(
    {"A", "B", "DEPLOY", "F", "FILE", "GRID", "INPUT", "JSON", "L", "MODEL", "OUT", "P", "R"}
    | {"RECIPE", "SOURCE", "W", "WEIGHTS"}
)
_FOLDERS = frozenset({"DIR"})
_NO_FILES = frozenset({"--layer", "--preset"})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Let shtab make the script."""
    text = script(args.shell)
    terminal.document("completion", {"shell": args.shell, "script": text}, text)
    return 0


def script(shell: str) -> str:
    """Return the script for a shell.

    Raises
    ------
    MissingExtraError : shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise MissingExtraError("shell completion", "completion") from error
    from cmodel.cli import build_parser

    parser = build_parser()
    _mark(parser, shtab.FILE, shtab.DIRECTORY)
    return str(shtab.complete(parser, shell))


def _mark(parser: argparse.ArgumentParser, files: Any, folders: Any) -> None:
    """Say which arguments are files and folders, and for which shells complete themselves."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _mark(inner, files, folders)
        elif action.metavar in _FOLDERS:
            action.complete = folders  # type: ignore[attr-defined]
        elif (
            action.metavar in _FILES
            and action.type in (None, Path)
            and not _NO_FILES & set(action.option_strings)
        ):
            action.complete = files  # type: ignore[attr-defined]
