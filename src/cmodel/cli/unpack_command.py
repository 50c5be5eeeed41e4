"""`cmodel unpack`: a container back into Caffe's files."""

from __future__ import annotations

import argparse
from pathlib import Path

from cmodel.cli.terminal import Terminal
from cmodel.errors import OutputError
from cmodel.files import atomic_write

HELP = "write a .cmodel as deploy.prototxt and weights.caffemodel"
EXAMPLES = "  cmodel unpack net.cmodel -o net/"

PROTOTXT = "deploy.prototxt"
WEIGHTS = "weights.caffemodel"
MEAN = "mean.binaryproto"
LABELS = "labels.txt"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write to")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite its files")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Check every tensor, then write the files."""
    from cmodel import container
    from cmodel.caffe import print_prototxt, write_caffemodel, write_mean

    stored = container.Container(args.file, max_memory=args.max_memory)
    for tensor in stored.tensors:
        stored.check_tensor(tensor.name)
    net = stored.net()
    folder = Path(args.output)
    names = [PROTOTXT, WEIGHTS]
    if net.transform is not None and net.transform.mean_image is not None:
        names.append(MEAN)
    if net.labels:
        names.append(LABELS)
    paths = {name: folder / name for name in names}
    for path in paths.values():
        if path.exists() and not args.force:
            raise OutputError(f"`{path}` exists already", hint="-f overwrites it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder `{folder}`: {error.strerror}") from error
    with atomic_write(paths[PROTOTXT]) as file:
        file.write(print_prototxt(net).encode())
    with atomic_write(paths[WEIGHTS]) as file:
        write_caffemodel(net, file)
    if net.transform is not None and net.transform.mean_image is not None:
        with atomic_write(paths[MEAN]) as file:
            write_mean(net.transform.mean_image, file)
    if net.labels:
        with atomic_write(paths[LABELS]) as file:
            file.write("".join(f"{label}\n" for label in net.labels).encode())
    facts = {"files": [str(path) for path in paths.values()], "tensors": len(stored.tensors)}
    terminal.document("unpack", facts, "\n".join(facts["files"]))  # type: ignore[arg-type]
    return 0
