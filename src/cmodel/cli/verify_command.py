"""`cmodel verify`: check a container completely."""

from __future__ import annotations

import argparse

from cmodel.cli.terminal import Terminal

HELP = "check every checksum of a .cmodel and decode every tensor"
EXAMPLES = "  cmodel verify net.cmodel"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Verify; exit code 1 where something is damaged (3 where the file cannot be opened at all)."""
    from cmodel import container

    result = container.verify(args.file, max_memory=args.max_memory)
    damages = [
        {
            "what": damage.what,
            "error": damage.error.name,
            "message": damage.error.message,
            "tensors": list(damage.tensors),
        }
        for damage in result.damages
    ]
    facts = {
        "ok": result.ok,
        "sections": result.sections,
        "tensors": result.tensors,
        "damages": damages,
    }
    lines = [
        f"damaged: {damage['what']}: {damage['error']}: {damage['message']}"
        + (f"\n  tensors: {', '.join(damage['tensors'])}" if damage["tensors"] else "")
        for damage in damages
    ]
    if result.ok:
        lines = [f"ok: {result.sections} sections, {result.tensors} tensors"]
    terminal.document("verify", facts, "\n".join(lines))
    return 0 if result.ok else 1
