"""`cmodel unpack`: a container back into Caffe's files."""

from __future__ import annotations

import argparse
from pathlib import Path

from cmodel.cli.terminal import Terminal

HELP = "write a .cmodel as deploy.prototxt and weights.caffemodel"
EXAMPLES = "  cmodel unpack net.cmodel -o net/"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write to")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite its files")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Check every tensor, then write the files."""
    from cmodel import container
    from cmodel.files import atomic_files
    from cmodel.interchange.caffe_files import CaffeNames, write_caffe

    stored = container.Container(args.file, max_memory=args.max_memory)
    for tensor in stored.tensors:
        stored.check_tensor(tensor.name)
    target = Path(args.output)
    with atomic_files(target, force=args.force) as folder:
        files = write_caffe(stored.net(), folder, CaffeNames())
    facts = {"files": [str(target / file) for file in files], "tensors": len(stored.tensors)}
    terminal.document("unpack", facts, "\n".join(facts["files"]))  # type: ignore[arg-type]
    return 0
