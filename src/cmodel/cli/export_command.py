"""`cmodel export`: a model in the format of another program."""

from __future__ import annotations

import argparse

from cmodel.cli.options import add_model_options, load_model
from cmodel.cli.terminal import Terminal, bytes_text

HELP = "write a model as caffemodel, HDF5, npz, safetensors or ONNX"
EXAMPLES = """\
  cmodel export net.cmodel -o net.onnx
  cmodel export net.cmodel -o net.onnx --form qdq
  cmodel export deploy.prototxt --weights net.caffemodel -o net.npz"""

FORMATS = ("caffemodel", "hdf5", "npz", "safetensors", "onnx")
FORMS = ("dense", "qdq", "sparse")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="file to write; weights for Caffe get the prototxt beside them",
    )
    parser.add_argument("--to", choices=FORMATS, help="format (default: by the suffix of OUT)")
    parser.add_argument(
        "--form",
        choices=FORMS,
        default=FORMS[0],
        help="what ONNX keeps of compressed parameters: nothing (dense, the default), "
        "quantisation (qdq) or zeros (sparse)",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT")
    parser.add_argument("--dry-run", action="store_true", help="do everything but keep the files")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Load, write, check."""
    from cmodel.interchange import export

    net = load_model(args, terminal)
    facts = export(
        net,
        args.output,
        to=args.to,
        form=args.form,
        force=args.force,
        keep=not args.dry_run,
    )
    written = "would write" if args.dry_run else "wrote"
    lines = [f"{written} {', '.join(facts['files'])} ({bytes_text(facts['bytes'])})"]
    if "opset" in facts:
        kinds = ", ".join(f"{count} as {kind}" for kind, count in facts["parameters"].items())
        lines.append(f"opset {facts['opset']}, batch {facts['batch']}; parameters: {kinds}")
    terminal.document("export", facts | {"dry_run": args.dry_run}, "\n".join(lines))
    return 0
