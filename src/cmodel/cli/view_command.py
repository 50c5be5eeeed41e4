"""`cmodel view`: a container in the browser."""

from __future__ import annotations

import argparse
import os
import platform
from contextlib import suppress
from pathlib import Path

from cmodel.cli.terminal import Terminal, bytes_text
from cmodel.errors import BadSignature, OutputError, UsageError
from cmodel.files import atomic_write, refuse_existing

HELP = "show a .cmodel in the browser: graph, weights, checks, and a run in the page"
EXAMPLES = """\
  cmodel view net.cmodel
  cmodel view net.cmodel --no-open
  cmodel view -o viewer.html"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="a .cmodel")
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        help="whether to open the browser (default: where there is a screen)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PAGE",
        help="write the page itself, an HTML file that takes files from the disk; serve nothing",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite PAGE")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Write the page, or serve it with FILE until Ctrl-C, which is no error here."""
    if args.output is not None:
        if args.file is not None:
            raise UsageError(
                "-o writes the page without a file", hint="open the page and drop the file on it"
            )
        return _write(Path(args.output), args.force, terminal)
    if args.file is None:
        raise UsageError("there is no file to show", hint="`cmodel view net.cmodel`")
    return _serve(Path(args.file), args.open, terminal)


def _write(output: Path, force: bool, terminal: Terminal) -> int:
    from cmodel.view import page

    refuse_existing(output, force)
    data = page().encode()
    with atomic_write(output) as file:
        file.write(data)
    facts = {"file": None, "address": None, "output": str(output), "page_bytes": len(data)}
    terminal.document("view", facts, f"{output}: {bytes_text(len(data))}")
    return 0


def _serve(path: Path, open_browser: bool | None, terminal: Terminal) -> int:
    from cmodel.api import is_container
    from cmodel.view import ViewServer

    # Whatever else is wrong with a container, the page itself says.
    if not is_container(path):
        raise BadSignature(
            "it is no .cmodel", where=str(path), hint="`cmodel pack` makes one of a Caffe network"
        )
    try:
        server = ViewServer(path, terminal.note)
    except OSError as error:
        raise OutputError(f"cannot listen on this machine: {error.strerror or error}") from error
    with server, suppress(KeyboardInterrupt):
        facts = {"file": path.name, "address": server.address, "output": None, "page_bytes": None}
        terminal.document("view", facts, f"{server.address}\nCtrl-C ends it")
        if open_browser if open_browser is not None else _has_screen():
            _open(server.address, terminal)
        server.serve_forever(poll_interval=0.2)
    return 0


def _has_screen() -> bool:
    """Whether a browser that is opened is likely to be seen."""
    if platform.system() == "Linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def _open(address: str, terminal: Terminal) -> None:
    import webbrowser

    if not webbrowser.open(address):
        terminal.warn("no browser could be opened; open the address yourself")
