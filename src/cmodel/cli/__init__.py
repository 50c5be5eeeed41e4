"""The command line: `python -m cmodel` and `cmodel`. One file for each command."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType, ModuleType
from typing import NoReturn

from cmodel._version import __version__
from cmodel.cli.options import add_common_options
from cmodel.cli.terminal import Terminal
from cmodel.errors import CmodelError, UsageError
from cmodel.threads import set_thread_count

COMMANDS = (
    "pack",
    "unpack",
    "export",
    "infer",
    "eval",
    "inspect",
    "diff",
    "sensitivity",
    "sweep",
    "recipe",
    "report",
    "view",
    "verify",
    "doctor",
    "completion",
)
INTERRUPTED = 130
TERMINATED = 143


class _Terminated(BaseException):
    """SIGTERM: unwinds like Ctrl-C, so that temporary files go."""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong call as any other error of the program."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message, hint=f"`{self.prog} --help` shows how it is called")


def command_module(name: str) -> ModuleType:
    """Return a command's module: HELP, EXAMPLES, configure(parser), run(args, terminal)."""
    return import_module(f"cmodel.cli.{name}_command")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(prog="cmodel", description="Compress and run trained Caffe networks.")
    parser.add_argument("--version", action="version", version=f"cmodel {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = command_module(name)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(command)
        for leaf in leaves(command):
            add_common_options(leaf)
    return parser


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers that calls end in: the actions of a command, or the command itself."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        yield parser
    for action in inner:
        for child in action.choices.values():
            yield from leaves(child)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a call.

    argparse gives optional positionals nothing once an option stands before them; LATE names those
    of a command that take such words, in their order.
    """
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    late = getattr(command_module(args.command), "LATE", ())
    if not any(word.startswith("-") for word in rest):
        for name in late:
            taken = getattr(args, name)
            if isinstance(taken, list):
                taken += rest
                rest = []
            elif taken is None and rest:
                setattr(args, name, rest.pop(0))
    if rest:
        raise UsageError(
            f"unrecognized arguments: {' '.join(rest)}",
            hint=f"`{parser.prog} {args.command} --help` shows how it is called",
        )
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    terminal = Terminal()
    try:
        with _unwinding_on_sigterm():
            return _run(argv, terminal)
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        terminal.interrupted()
        return INTERRUPTED
    except _Terminated:
        terminal.interrupted()
        return TERMINATED


@contextmanager
def _unwinding_on_sigterm() -> Iterator[None]:
    """Make SIGTERM an exception within the block, where this is the main thread."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(argv: Sequence[str] | None, terminal: Terminal) -> int:
    try:
        args = parse(argv)
        terminal = Terminal(
            json=args.json, verbosity=args.verbose - args.quiet, progress=not args.no_progress
        )
        set_thread_count(args.threads)
        status = command_module(args.command).run(args, terminal)
        return int(status)
    except CmodelError as error:
        terminal.error(error)
        return error.exit_code
    except MemoryError:
        terminal.error(CmodelError("there is not enough memory", hint="try a smaller --batch"))
        return 5
