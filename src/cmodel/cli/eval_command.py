"""`cmodel eval`: accuracy of a model on a test set."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from cmodel.cli.calls import files_of, frozen, key_of, thawed
from cmodel.cli.options import (
    add_data_options,
    add_executor_option,
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
from cmodel.executor import Kept

if TYPE_CHECKING:
    from cmodel.data import Source
    from cmodel.evaluate import Evaluation
    from cmodel.executor import Executor
    from cmodel.net import InputTransform, Net

HELP = "measure the accuracy of a model on labelled images"
EXAMPLES = """\
  cmodel eval net.cmodel --data t10k-images-idx3-ubyte.gz
  cmodel eval train_val.prototxt --weights net.caffemodel
  cmodel eval deploy.prototxt --weights net.caffemodel --data test.zip \\
      --channel-order rgb --mean-file mean.binaryproto
  cmodel eval net.cmodel --data list.txt --executor dask://10.0.0.1:8786"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_options(parser)
    add_data_options(parser)
    add_transform_options(parser)
    parser.add_argument("--output", metavar="BLOB", help="blob of the scores")
    add_math_option(parser)
    add_executor_option(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Evaluate and report."""
    from cmodel.executor import open_executor

    with open_executor(args.executor) as executor, terminal.progress("evaluating") as update:
        result = evaluate_by(executor, args, terminal, update)
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


def evaluate_by(
    executor: Executor,
    args: argparse.Namespace,
    terminal: Terminal,
    update: Callable[[int, int, str], None],
) -> Evaluation:
    """Evaluate what a call names, range by range; ranges are of whole batches."""
    from cmodel.evaluate import Ranked, evaluation_of

    call = frozen(args)
    threads = args.threads or executor.threads
    subject = _SUBJECTS.get(key_of(executor.token, call), lambda: _Subject(args, threads, terminal))
    start = perf_counter()
    total = len(subject.indices)
    files = executor.files(files_of(call))
    pieces = [
        {
            "token": executor.token,
            "files": files,
            "call": call,
            "threads": threads,
            "first": first,
            "last": last,
        }
        for first, last in executor.ranges(total, subject.batch)
    ]
    parts: list[Ranked | None] = [None] * len(pieces)
    done = 0

    def tell(number: int, within: int, of: int, what: str) -> None:
        update(done + within, total, what)

    for number, found in executor.arrivals(evaluate_range, pieces, tell):
        ranks = np.array(found["ranks"], np.int64)
        parts[number] = Ranked(ranks, found["classes"], found["engine_seconds"])
        done += len(ranks)
        update(done, total, "")
    whole = [part for part in parts if part is not None]
    return evaluation_of(whole, subject.indices, perf_counter() - start)


def evaluate_range(piece: dict[str, Any], tell: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Run a range of the judged images: the job of a piece of `eval`.

    The piece has: token (of the executor), call, threads, first, last.
    """
    from cmodel.evaluate import ranked

    subject = _SUBJECTS.get(
        key_of(piece["token"], piece["call"]),
        lambda: _Subject(thawed(piece["call"]), piece["threads"], Terminal(verbosity=-1)),
    )
    found = ranked(
        subject.engine,
        subject.source,
        subject.transform,
        subject.indices,
        first=piece["first"],
        last=piece["last"],
        input_blob=subject.input_blob,
        output_blob=subject.output_blob,
        input_shape=subject.shape,
        batch=subject.batch,
        on_progress=lambda done, total: tell(done, total, ""),
    )
    return {
        "ranks": found.ranks.tolist(),
        "classes": found.classes,
        "engine_seconds": found.engine_seconds,
    }


class _Subject:
    """A net, ready to run, and the images that judge it, as a call names them."""

    def __init__(self, args: argparse.Namespace, threads: int | None, terminal: Terminal) -> None:
        from cmodel.engine import Engine
        from cmodel.evaluate import judged_images
        from cmodel.net import image_inputs, score_blobs

        net = load_model(args, terminal)
        self.source = source_of(args, net)
        refuse_transform(args, self.source)
        self.transform = transform_of(args, net)
        self.input_blob = one_blob(image_inputs(net), None, "input", "--input")
        self.output_blob = one_blob(score_blobs(net), args.output, "output", "--output")
        self.shape = net.inputs[self.input_blob]
        self.batch = batch_of(args, net)
        self.engine = Engine(net, threads, math=args.math)
        self.indices = judged_images(self.source, limit=args.limit, seed=args.seed)


_SUBJECTS: Kept[_Subject] = Kept()


def measure(
    args: argparse.Namespace,
    net: Net,
    transform: InputTransform,
    source: Source,
    update: Callable[[int, int, str], None],
) -> Evaluation:
    """Evaluate `net`, which needs not be the one that the call names, on the images of `source`."""
    from cmodel.engine import Engine
    from cmodel.evaluate import evaluate
    from cmodel.net import image_inputs, score_blobs

    input_blob = one_blob(image_inputs(net), None, "input", "--input")
    scores = one_blob(score_blobs(net), None, "output", "--output")
    engine = Engine(net)
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
