"""`cmodel unpack`: a container back into Caffe's files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cmodel.cli.terminal import Terminal
from cmodel.errors import CheckFailed

if TYPE_CHECKING:
    from cmodel.net import Net

HELP = "write a .cmodel as deploy.prototxt and weights.caffemodel"
EXAMPLES = """\
  cmodel unpack net.cmodel -o net/
  cmodel unpack damaged.cmodel -o net/ --salvage"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write to")
    parser.add_argument(
        "--salvage", action="store_true", help="leave out the layers of damaged tensors"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite its files")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Check every tensor, then write the files."""
    from cmodel import container
    from cmodel.files import atomic_files
    from cmodel.interchange.caffe_files import CaffeNames, write_caffe

    checked = container.verify(args.file, max_memory=args.max_memory)
    if not checked.ok and not args.salvage:
        error = checked.damages[0].error
        error.hint = error.hint or "--salvage writes what is undamaged"
        raise error
    opened = container.Container(args.file, max_memory=args.max_memory, salvage=args.salvage)
    net = opened.net()
    lost = _leave_out(net, {name for damage in checked.damages for name in damage.tensors})
    if lost and not net.parameters:
        error = checked.damages[0].error
        error.hint = "nothing is undamaged, so there is nothing to salvage"
        raise error
    target = Path(args.output)
    with atomic_files(target, force=args.force) as folder:
        files = [
            str(target / file) for file in write_caffe(net, folder, CaffeNames(), without=lost)
        ]
    if lost:
        terminal.warn(f"damaged, so not in the weights: {', '.join(lost)}")
    for damage in checked.damages:
        if not damage.tensors or container.MEAN_IMAGE_NAME in damage.tensors:
            terminal.warn(f"damaged: {damage.what}: {damage.error.message}")
    terminal.document(
        "unpack", {"files": files, "tensors": len(net.parameters), "lost": lost}, "\n".join(files)
    )
    return 0 if checked.ok else CheckFailed.exit_code


def _leave_out(net: Net, damaged: set[str]) -> list[str]:
    """Take the layers with damaged tensors out of the parameters; return the layers' names.

    Caffe wants all blobs of a layer or none, so a layer goes as a whole.
    """
    lost = [layer for layer in net.layers if damaged & set(layer.parameters)]
    for layer in lost:
        layer.parameters = []
    used = {name for layer in net.layers for name in layer.parameters}
    for name in set(net.parameters) - used:
        del net.parameters[name]
    return [layer.key for layer in lost]
