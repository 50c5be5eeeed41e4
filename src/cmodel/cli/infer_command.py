"""`cmodel infer`: run a model on images or arrays."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmodel.cli.options import (
    add_math_option,
    add_model_options,
    add_transform_options,
    load_model,
    one_blob,
    positive,
    refuse_transform,
    transform_of,
)
from cmodel.cli.terminal import Terminal
from cmodel.errors import OutputError, UsageError, did_you_mean
from cmodel.files import atomic_write

if TYPE_CHECKING:
    from cmodel.net import Net

HELP = "run a model on images, or on arrays as fed"
EXAMPLES = """\
  cmodel infer net.cmodel cat.jpg dog.png --top 3
  cmodel infer deploy.prototxt --weights net.caffemodel \\
      --input data=x.npy --blobs all --out blobs/"""

LATE = ("inputs",)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_options(parser)
    parser.add_argument("inputs", metavar="INPUT", nargs="*", help="images, or any data source")
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="default 5")
    parser.add_argument("--output", metavar="BLOB", help="blob of the scores, any of the net")
    parser.add_argument("--batch", type=positive, default=50, metavar="N", help="default 50")
    arrays = parser.add_argument_group("arrays in, arrays out")
    arrays.add_argument("--input", action="append", default=[], metavar="BLOB=FILE.npy")
    arrays.add_argument("--blobs", metavar="all|a,b", help="blobs to write (default: the outputs)")
    arrays.add_argument("--out", metavar="DIR", help="folder for BLOB.npy, '/' as '__'")
    add_math_option(parser)
    add_transform_options(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run on arrays where --input is given, on images otherwise."""
    if bool(args.inputs) == bool(args.input):
        raise UsageError("give either INPUTs or --input BLOB=FILE.npy")
    net = load_model(args, terminal)
    return _run_arrays(args, terminal, net) if args.input else _run_images(args, terminal, net)


def _run_images(args: argparse.Namespace, terminal: Terminal, net: Net) -> int:
    from cmodel.data import open_source
    from cmodel.engine import Engine
    from cmodel.evaluate import predict
    from cmodel.net import image_inputs

    if args.blobs or args.out:
        raise UsageError("--blobs and --out go with --input")
    transform = transform_of(args, net)
    input_blob = one_blob(image_inputs(net), None, "input", "--input")
    outputs = net.outputs if args.output is None else _blobs_of(net)
    output_blob = one_blob(outputs, args.output, "blob", "--output")
    engine = Engine(net, math=args.math)
    results: list[dict[str, Any]] = []
    lines = []
    for path in args.inputs:
        source = open_source(path)
        refuse_transform(args, source)
        for start in range(0, len(source), args.batch):
            part = range(start, min(start + args.batch, len(source)))
            names = tuple(source.names[i] for i in part)
            predictions = predict(
                engine,
                source.read(part),
                transform,
                input_blob=input_blob,
                output_blob=output_blob,
                input_shape=net.inputs[input_blob],
                top=args.top,
                names=names,
                planes=source.planes,
            )
            for inner, best in zip(names, predictions, strict=True):
                # What was asked for, so that a script can match answers to inputs.
                name = path if len(source) == 1 else f"{path}:{inner}"
                top = [{"class": c, "label": _label(net, c), "score": score} for c, score in best]
                results.append({"input": name, "top": top})
                lines.append(name)
                lines += [
                    f"  {entry['score']:.6f}  {entry['class']:4d}  {entry['label'] or ''}".rstrip()
                    for entry in top
                ]
    terminal.document("infer", {"results": results}, "\n".join(lines))
    return 0


def _label(net: Net, index: int) -> str | None:
    return net.labels[index] if index < len(net.labels) else None


def _blobs_of(net: Net) -> list[str]:
    """Return the names of all blobs."""
    return list(dict.fromkeys([*net.inputs, *(top for layer in net.layers for top in layer.tops)]))


def _refuse_unknown(net: Net, feed: Iterable[str], blobs: str | None) -> list[str]:
    """Refuse names in the call that the net does not have; return the names of all blobs."""
    known = _blobs_of(net)
    asked = [] if blobs in (None, "all") else str(blobs).split(",")
    for option, what, names, there in (
        ("--input", "input blob", feed, list(net.inputs)),
        ("--blobs", "blob", asked, known),
    ):
        for name in names:
            if name not in there:
                raise UsageError(
                    f"{option}: the net has no {what} `{name}`",
                    hint=did_you_mean(name, there) or f"it has {', '.join(there)}",
                )
    return known


def _file_name(blob: str) -> str:
    return f"{blob.replace('/', '__')}.npy"


def _refuse_one_file(blobs: Sequence[str]) -> None:
    """Refuse to write two blobs to one file."""
    blob_of: dict[str, str] = {}
    for blob in blobs:
        other = blob_of.setdefault(_file_name(blob), blob)
        if other != blob:
            raise UsageError(
                f"the blobs `{other}` and `{blob}` have the same file, `{_file_name(blob)}`",
                hint="write them to two folders, one call of --blobs for each",
            )


def _run_arrays(args: argparse.Namespace, terminal: Terminal, net: Net) -> int:
    import numpy as np

    from cmodel.data import read_npy
    from cmodel.engine import Engine

    if not args.out:
        raise UsageError("--input writes blobs to a folder", hint="name it with --out DIR")
    feed = {}
    for text in args.input:
        blob, separator, path = text.partition("=")
        if not separator or not blob or not path:
            raise UsageError(f"--input {text}: write BLOB=FILE.npy")
        feed[blob] = read_npy(Path(path))
    known = _refuse_unknown(net, feed, args.blobs)
    wanted: Any = args.blobs if args.blobs in (None, "all") else args.blobs.split(",")
    _refuse_one_file(known if wanted == "all" else wanted or net.outputs)
    blobs = Engine(net, math=args.math).run(feed, blobs=wanted)
    folder = Path(args.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder: {error.strerror}", where=args.out) from error
    written = {}
    for name, array in blobs.items():
        path = folder / _file_name(name)
        with atomic_write(path) as file:
            np.save(file, array, allow_pickle=False)
        written[name] = {"file": str(path), "shape": list(array.shape)}
    lines = [f"{name}  {facts['shape']}  {facts['file']}" for name, facts in written.items()]
    terminal.document("infer", {"blobs": written}, "\n".join(lines))
    return 0
