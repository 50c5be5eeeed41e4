"""`cmodel diff`: what tells two models apart."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cmodel.cli.options import (
    add_data_options,
    add_state_options,
    add_transform_options,
    batch_of,
    load_model,
    one_blob,
    refuse_transform,
    source_of,
    transform_of,
)
from cmodel.cli.terminal import Terminal, table
from cmodel.errors import UsageError

if TYPE_CHECKING:
    from cmodel.data import FloatArray, Inputs, IntArray
    from cmodel.evaluate import Difference
    from cmodel.net import Net, Shape

HELP = "compare two models: weights, blobs, answers, and where they part"
EXAMPLES = """\
  cmodel diff a.cmodel b.cmodel --data t10k-images-idx3-ubyte.gz --limit 1000
  cmodel diff deploy.prototxt net.cmodel --weights-a net.caffemodel
  cmodel diff deploy.prototxt deploy.prototxt --weights-a old.h5 --weights-b new.h5"""

RANDOM_IMAGES = 16


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    what = "a .cmodel, an ONNX model, or a prototxt with"
    parser.add_argument("a", metavar="A", help=f"{what} --weights-a")
    parser.add_argument("b", metavar="B", help=f"{what} --weights-b")
    parser.add_argument("--weights-a", metavar="W", help="the weights of the prototxt A")
    parser.add_argument("--weights-b", metavar="W", help="the weights of the prototxt B")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="E",
        help="relative error above which a blob counts as another one (default 1e-4)",
    )
    add_state_options(parser)
    add_data_options(parser)
    add_transform_options(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Load both, run both on the same inputs, report."""
    from cmodel.engine import Engine
    from cmodel.evaluate import THRESHOLD, difference

    threshold = THRESHOLD if args.threshold is None else args.threshold
    if not (np.isfinite(threshold) and threshold >= 0):
        raise UsageError(f"--threshold is a number from 0 on, not {threshold}")
    first = argparse.Namespace(**vars(args), model=args.a, weights=args.weights_a)
    second = argparse.Namespace(**vars(args), model=args.b, weights=args.weights_b)
    a, b = load_model(first, terminal), load_model(second, terminal)
    inputs, labels, source = _inputs(first, a)
    with terminal.progress("comparing") as update:
        found = difference(
            a,
            b,
            (Engine(a), Engine(b)),
            inputs,
            labels,
            batch=batch_of(first, a),
            threshold=threshold,
            on_progress=lambda done, total: update(done, total, ""),
        )
    terminal.document("diff", {"inputs": source, **asdict(found)}, _report(found, source))
    return 0


def _inputs(args: argparse.Namespace, net: Net) -> tuple[FloatArray | Inputs, IntArray | None, str]:
    from cmodel.data import Inputs, sample
    from cmodel.net import image_inputs

    blob = one_blob(image_inputs(net), None, "input", "--input")
    shape = net.inputs[blob]
    if args.data is not None:
        source = source_of(args, net)
        refuse_transform(args, source)
        labels = source.labels
        chosen = sample(len(source) if labels is None else labels, args.limit, args.seed)
        inputs = Inputs(source, chosen, transform_of(args, net), shape, batch_of(args, net))
        return inputs, None if labels is None else labels[chosen], str(args.data)
    if shape is None:
        raise UsageError(f"the input `{blob}` has no shape", hint="name images with --data SOURCE")
    rng = np.random.default_rng(args.seed)
    count = args.limit or RANDOM_IMAGES
    x = rng.standard_normal((count, *shape[1:]), np.float32)
    return x, None, f"random (standard normal, seed {args.seed})"


def _report(found: Difference, source: str) -> str:
    parameters = [
        [
            p.name,
            _pair(p.forms),
            _pair([_shape(shape) for shape in p.shapes]),
            *("" if size is None else str(size) for size in p.sizes),
            _number(p.relative, p.shapes),
            "" if p.largest is None else f"{p.largest:.3g}",
        ]
        for p in found.parameters
    ]
    blobs = [
        [
            blob.layer,
            blob.name,
            "other shape" if blob.relative is None else f"{blob.relative:.3g}",
            "" if blob.cosine is None else f"{blob.cosine:.7f}",
        ]
        for blob in found.blobs
    ]
    parts = []
    if parameters:
        header = ["parameter", "form", "shape", "bytes A", "bytes B", "relative", "largest"]
        parts.append(table(header, parameters, left=3))
    if blobs:
        parts.append(table(["layer", "blob", "relative", "cosine"], blobs, left=2))
    lines = [f"inputs: {source}, {found.images} images"]
    for which, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            lines.append(f"blobs of {which} only: {', '.join(names)}")
    lines.append(
        f"they part at the layer `{found.parts}` (relative error above {found.threshold:g})"
        if found.parts is not None
        else f"no blob differs by more than {found.threshold:g}"
    )
    scores = found.comparison
    if scores is not None:
        lines.append(f"top-1 agreement {scores.agreement:.2f} %, KL(A || B) {scores.kl:.5g} nats")
        if scores.interval is not None:
            low, high = scores.interval
            lines.append(
                f"top-1 {scores.baseline:.2f} % and {scores.top1:.2f} %: loss {scores.loss:+.2f} "
                f"points, 95 % interval {low:+.2f} to {high:+.2f}"
            )
    return "\n\n".join([*parts, "\n".join(lines)])


def _pair(values: Sequence[Any]) -> str:
    """Show what A and B have: once where it is the same."""
    one, two = ("-" if value is None else str(value) for value in values)
    return one if one == two else f"{one} | {two}"


def _shape(shape: Shape | None) -> str | None:
    return None if shape is None else "x".join(map(str, shape)) or "scalar"


def _number(value: float | None, shapes: Sequence[Shape | None]) -> str:
    if value is not None:
        return f"{value:.3g}"
    return "only A" if shapes[1] is None else "only B" if shapes[0] is None else "other shape"
