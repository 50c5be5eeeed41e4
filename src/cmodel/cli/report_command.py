"""`cmodel report`: a page of HTML about a container or a sweep."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmodel.cli.options import (
    add_data_options,
    add_state_options,
    add_transform_options,
    one_blob,
    refuse_transform,
    transform_of,
)
from cmodel.cli.terminal import Terminal, bytes_text
from cmodel.errors import DataError, InputError, UsageError
from cmodel.files import atomic_write, refuse_existing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmodel.data import FloatArray, Source
    from cmodel.net import InputTransform, Net

HELP = "make one HTML page with pictures of a .cmodel, or of the results of a sweep"
EXAMPLES = """\
  cmodel report net.cmodel -o net.html
  cmodel report net.cmodel --original deploy.prototxt net.caffemodel \\
      --data t10k-images-idx3-ubyte.gz -o net.html
  cmodel report results.jsonl -o results.html"""

# Of the images, what the errors of layers' outputs are measured on.
OUTPUT_IMAGES = 16
_MAX_FIGURES = 64 << 20
_MAX_INPUT = 1 << 26


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cmodel, or JSON lines of `cmodel sweep`")
    parser.add_argument("-o", "--output", metavar="OUT", help="HTML file to write")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT")
    of_container = parser.add_argument_group("for a .cmodel")
    of_container.add_argument(
        "--original",
        nargs="+",
        metavar="MODEL",
        help="the net before compression: DEPLOY WEIGHTS, or one file that carries its weights",
    )
    of_container.add_argument(
        "--figures",
        metavar="JSON",
        help="what `pack --json` or `eval --json` printed: its accuracy",
    )
    add_data_options(parser)
    add_transform_options(parser)
    add_state_options(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Find out by content what FILE is, gather its facts, draw them."""
    from cmodel.api import is_container
    from cmodel.report import container_page, read_sweep, sweep_page

    if args.output is None and not args.json:
        raise UsageError(
            "there is no place for the page", hint="-o OUT.html, or --json prints what it shows"
        )
    output = None if args.output is None else Path(args.output)
    if output is not None:
        refuse_existing(output, args.force)
    if is_container(args.file):
        facts = _container(args, terminal)
        html = container_page(facts)
    else:
        wrong = [f"--{name}" for name in ("original", "data", "figures") if getattr(args, name)]
        if wrong:
            raise UsageError(f"{', '.join(wrong)}: `{args.file}` is no .cmodel")
        facts = read_sweep(args.file)
        html = sweep_page(facts)
    page = html.encode()
    if output is not None:
        with atomic_write(output) as file:
            file.write(page)
    facts |= {"output": args.output, "page_bytes": None if output is None else len(page)}
    terminal.document("report", facts, f"{args.output}: {bytes_text(len(page))}")
    return 0


def _container(args: argparse.Namespace, terminal: Terminal) -> dict[str, Any]:
    from cmodel.container import Container
    from cmodel.report import container_facts, output_errors

    stored = Container(args.file, max_memory=args.max_memory)
    net = stored.net()
    original = _original(args, terminal)
    args.model = args.file
    with terminal.progress("reading") as update:
        facts = container_facts(
            stored, original, on_progress=lambda done, total: update(done, total, "")
        )
    source = _open(args)
    transform = transform_of(args, net)
    if source is not None:
        refuse_transform(args, source)
    if args.figures:
        facts["accuracy"] = read_figures(args.figures, stored.size, terminal)
    elif source is not None and source.labels is not None:
        facts["accuracy"] = _accuracy(args, terminal, net, original, transform, source)
    if original is not None:
        from cmodel.net import image_inputs

        blob = one_blob(image_inputs(net), None, "input", "--input")
        feeds, what = _feeds(args, net, blob, transform, source)
        with terminal.progress("comparing outputs"):
            if isinstance(feeds, str):
                facts["outputs"] = {"source": what, "images": 0, "why": feeds, "blobs": []}
            else:
                facts["outputs"] = output_errors(net, original, feeds, blob, what)
        if facts["outputs"]["why"] is not None:
            terminal.warn(f"no errors of outputs: {facts['outputs']['why']}")
    return facts


def _original(args: argparse.Namespace, terminal: Terminal) -> Net | None:
    from cmodel.api import load

    if args.original is None:
        return None
    if len(args.original) > 2:
        raise UsageError("--original takes a model, or a prototxt and its weights")
    return load(
        *args.original,
        phase=args.phase,
        stages=tuple(args.stage),
        level=args.net_level,
        strict=args.strict,
        allow_unknown=args.allow_unknown,
        max_memory=args.max_memory,
        on_warning=terminal.warn,
    )


def _open(args: argparse.Namespace) -> Source | None:
    from cmodel.data import open_source

    if args.data is None:
        return None
    return open_source(args.data, labels=args.labels, root=args.root)


def _accuracy(
    args: argparse.Namespace,
    terminal: Terminal,
    net: Net,
    original: Net | None,
    transform: InputTransform,
    source: Source,
) -> dict[str, Any]:
    from cmodel.cli.eval_command import measure

    with terminal.progress("accuracy") as update:
        after = measure(args, net, transform, source, update)
    before = None
    if original is not None:
        with terminal.progress("accuracy of the original") as update:
            before = measure(args, original, transform, source, update)
    return {
        "source": f"measured for this page on {source.path.name}",
        "images": after.images,
        "top1": after.top1,
        "top5": after.top5,
        "top1_before": None if before is None else before.top1,
        "top5_before": None if before is None else before.top5,
    }


def _feeds(
    args: argparse.Namespace,
    net: Net,
    blob: str,
    transform: InputTransform,
    source: Source | None,
) -> tuple[Iterable[FloatArray] | str, str]:
    """Return the batches that outputs are compared on, or why there are none; and what they are."""
    import numpy as np

    from cmodel.data import Inputs, sample

    shape = net.inputs[blob]
    if source is not None:
        chosen = sample(len(source), OUTPUT_IMAGES, args.seed)
        what = f"a sample of {source.path.name}"
        return Inputs(source, chosen, transform, shape, OUTPUT_IMAGES), what
    what = f"random inputs, normally distributed, seed {args.seed}"
    if shape is None or len(shape) < 2 or not 0 < math.prod(shape[1:]) <= _MAX_INPUT:
        return "the net states no shape for its input that random inputs could have", what
    rng = np.random.default_rng(args.seed)
    count = OUTPUT_IMAGES if math.prod(shape[1:]) <= 1 << 20 else 1
    return [rng.standard_normal((count, *shape[1:]), dtype=np.float32)], what


def read_figures(path: str, size: int, terminal: Terminal) -> dict[str, Any]:
    """Return the accuracy that `pack` or `eval` printed as JSON; `size` of the file it is about.

    Raises
    ------
    InputError : it is no such document.
    """
    from cmodel.data.source import read_bytes
    from cmodel.report.sweep_facts import number

    try:
        document = json.loads(read_bytes(Path(path), _MAX_FIGURES))
    except DataError as error:
        raise InputError(error.message, where=error.where) from error
    except (ValueError, RecursionError) as error:
        raise InputError("it is not JSON", where=path) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema not in ("cmodel.pack/1", "cmodel.eval/1"):
        raise InputError(
            "it is no JSON document of `cmodel pack` or `cmodel eval`",
            where=path,
            hint="both print one with --json",
        )
    stated = number(document, "bytes_after")
    if stated is not None and stated != size:
        terminal.warn(f"{path} tells of a file of {stated:.0f} bytes, this one has {size}")
    packed = schema == "cmodel.pack/1"
    top1 = number(document, "top1_after" if packed else "top1")
    if top1 is None:
        raise InputError("it tells no accuracy", where=path, hint="`cmodel pack --data SOURCE`")
    return {
        "source": f"as `cmodel {'pack' if packed else 'eval'}` printed in {Path(path).name}",
        "images": int(number(document, "images") or 0),
        "top1": top1,
        "top5": number(document, "top5_after" if packed else "top5"),
        "top1_before": number(document, "top1_before") if packed else None,
        "top5_before": number(document, "top5_before") if packed else None,
    }
