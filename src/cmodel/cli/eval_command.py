"""`cmodel eval`: accuracy of a model on a test set."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from cmodel.cli.options import (
    add_data_options,
    add_math_option,
    add_model_options,
    add_transform_options,
    batch_of,
    load_model,
    one_blob,
    refuse_transform,
    source_of,
    transform_of,
)
from cmodel.cli.terminal import Terminal

if TYPE_CHECKING:
    from cmodel.data import Source
    from cmodel.evaluate import Evaluation
    from cmodel.net import InputTransform, Net

HELP = "measure the accuracy of a model on labelled images"
EXAMPLES = """\
  cmodel eval net.cmodel --data t10k-images-idx3-ubyte.gz
  cmodel eval train_val.prototxt --weights net.caffemodel
  cmodel eval deploy.prototxt --weights net.caffemodel --data test.zip \\
      --channel-order rgb --mean-file mean.binaryproto"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_options(parser)
    add_data_options(parser)
    add_transform_options(parser)
    parser.add_argument("--output", metavar="BLOB", help="blob of the scores")
    add_math_option(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Evaluate and report."""
    net = load_model(args, terminal)
    source = source_of(args, net)
    refuse_transform(args, source)
    with terminal.progress("evaluating") as update:
        result = measure(args, net, transform_of(args, net), source, update, args.output, args.math)
    facts = {
        "top1": result.top1,
        "top5": result.top5,
        "images": result.images,
        "seconds": result.seconds,
    }
    text = f"top-1 {result.top1:.2f} %"
    if result.top5 is not None:
        text += f", top-5 {result.top5:.2f} %"
    text += f" on {result.images} images in {result.seconds:.1f} s"
    terminal.document("eval", facts, text)
    return 0


def measure(
    args: argparse.Namespace,
    net: Net,
    transform: InputTransform,
    source: Source,
    update: Callable[[int, int, str], None],
    output: str | None = None,
    math: str = "exact",
) -> Evaluation:
    """Evaluate `net` on the images of `source`, scores from the blob `output`."""
    from cmodel.engine import Engine
    from cmodel.evaluate import evaluate
    from cmodel.net import image_inputs, score_blobs

    input_blob = one_blob(image_inputs(net), None, "input", "--input")
    scores = one_blob(score_blobs(net), output, "output", "--output")
    engine = Engine(net, math=math)
    return evaluate(
        engine,
        source,
        transform,
        input_blob=input_blob,
        output_blob=scores,
        input_shape=net.inputs[input_blob],
        batch=batch_of(args, net),
        limit=args.limit,
        seed=args.seed,
        on_progress=lambda done, total: update(done, total, ""),
    )
