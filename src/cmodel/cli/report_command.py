"""`cmodel report`: a page of HTML about a container or a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cmodel.cli.terminal import Terminal, bytes_text
from cmodel.errors import UsageError
from cmodel.files import atomic_write, refuse_existing

HELP = "make one HTML page with pictures of a .cmodel, or of the results of a sweep"
EXAMPLES = """\
  cmodel report net.cmodel -o net.html
  cmodel report results.jsonl -o results.html"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cmodel, or JSON lines of `cmodel sweep`")
    parser.add_argument("-o", "--output", metavar="OUT", help="HTML file to write")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Find out by content what FILE is, gather its facts, draw them."""
    from cmodel.report import read_sweep, sweep_page

    if args.output is None and not args.json:
        raise UsageError(
            "where shall the page go?", hint="-o OUT.html, or --json prints what it would show"
        )
    output = None if args.output is None else Path(args.output)
    if output is not None:
        refuse_existing(output, args.force)
    facts: dict[str, Any] = read_sweep(args.file)
    html = sweep_page(facts)
    size = len(html.encode())
    if output is not None:
        with atomic_write(output) as file:
            file.write(html.encode())
    facts |= {"output": args.output, "page_bytes": size if output is not None else None}
    terminal.document("report", facts, f"{args.output}: {bytes_text(size)}")
    return 0
