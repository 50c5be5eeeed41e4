"""`cmodel sensitivity`: which layers bear compression, and which do not."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import product
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from cmodel.cli.calls import files_of, frozen, key_of, thawed
from cmodel.cli.options import (
    add_calibration_options,
    add_data_options,
    add_executor_option,
    add_model_options,
    add_transform_options,
    batch_of,
    load_model,
    one_blob,
    refuse_transform,
    source_of,
    transform_of,
)
from cmodel.cli.terminal import Terminal, bytes_text, table
from cmodel.errors import LimitError, UsageError
from cmodel.executor import Kept

if TYPE_CHECKING:
    from cmodel.compress import Sensitivity
    from cmodel.data import Inputs
    from cmodel.evaluate import Comparison
    from cmodel.executor import Executor

HELP = "compress each layer alone and tell what that costs"
EXAMPLES = """\
  cmodel sensitivity deploy.prototxt --weights net.caffemodel --data images.npz --limit 1000
  cmodel sensitivity net.cmodel --data list.txt --method prune.magnitude --option density=0.1,0.3
  cmodel sensitivity net.cmodel --data list.txt --executor dask://10.0.0.1:8786"""

MAX_IMAGES_BYTES = 2 << 30


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_options(parser)
    parser.add_argument(
        "--method", metavar="M", help="default: quantize.uniform at 2, 3, 4 and 6 bits"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=V[,V]",
        help="an option of the method; several values are several settings",
    )
    parser.add_argument(
        "--layer", action="append", default=[], metavar="L", help="only this layer (repeatable)"
    )
    parser.add_argument("--output", metavar="BLOB", help="blob of the scores")
    add_data_options(parser)
    add_transform_options(parser)
    add_calibration_options(parser)
    add_executor_option(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Measure and list, the dearest first."""
    from cmodel.executor import open_executor

    with open_executor(args.executor) as executor, terminal.progress("measuring") as update:
        found, images = measure_by(executor, args, terminal, update)
    found.sort(key=lambda entry: -entry.comparison.kl)
    facts = {"images": images, "layers": [asdict(entry) for entry in found]}
    terminal.document("sensitivity", facts, _report(found))
    return 0


def measure_by(
    executor: Executor,
    args: argparse.Namespace,
    terminal: Terminal,
    update: Callable[[int, int, str], None],
) -> tuple[list[Sensitivity], int]:
    """Measure what a call names, in order of the net; return it and the number of images."""
    from cmodel.compress import Sensitivity

    call = frozen(args)
    steps = _steps_of(args)
    threads = args.threads or executor.threads
    subject = _SUBJECTS.get(key_of(executor.token, call), lambda: _Subject(args, threads, terminal))
    layers = subject.judge.layers
    files = executor.files(files_of(call))
    # What comes before a layer is run once for all steps of a piece; more workers than layers are
    # worth running it again.
    size = ceil(len(steps) / min(ceil(2 * executor.width / len(layers)), len(steps)))
    if executor.width == 1:
        size = len(steps)
    pieces: list[dict[str, Any]] = [
        {
            "token": executor.token,
            "files": files,
            "call": call,
            "threads": threads,
            "layer": layer,
            "first": first,
            "last": min(first + size, len(steps)),
        }
        for layer in layers
        for first in range(0, len(steps), size)
    ]
    done, total = 0, len(layers) * len(steps)
    parts: list[list[Sensitivity]] = [[]] * len(pieces)

    def tell(number: int, within: int, of: int, what: str) -> None:
        update(done + within, total, what)

    for number, answer in executor.arrivals(measure_layer, pieces, tell):
        parts[number] = [
            Sensitivity(**{**entry, "comparison": _comparison(entry["comparison"])})
            for entry in answer["entries"]
        ]
        done += len(parts[number])
        update(done, total, pieces[number]["layer"])
    return [entry for part in parts for entry in part], subject.images


def measure_layer(piece: dict[str, Any], tell: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Compress a layer by some of the steps: the job of a piece of `sensitivity`.

    The piece has: token (of the executor), call, threads, layer, first and last (of the steps).
    """
    subject = _SUBJECTS.get(
        key_of(piece["token"], piece["call"]),
        lambda: _Subject(thawed(piece["call"]), piece["threads"], Terminal(verbosity=-1)),
    )
    layer, steps = piece["layer"], subject.steps[piece["first"] : piece["last"]]
    found = subject.judge.measure(
        layer,
        steps,
        lambda done, step: tell(done, len(steps), f"{layer}: {step['method']}"),
    )
    return {"entries": [asdict(entry) for entry in found]}


class _Subject:
    """A net and the images that judge its layers, as a call names them."""

    def __init__(self, args: argparse.Namespace, threads: int | None, terminal: Terminal) -> None:
        from cmodel.compress import Layerwise
        from cmodel.data import Inputs, open_source, sample
        from cmodel.net import image_inputs

        self.steps = _steps_of(args)
        net = load_model(args, terminal)
        source = source_of(args, net)
        refuse_transform(args, source)
        transform = transform_of(args, net)
        shape = net.inputs[one_blob(image_inputs(net), None, "input", "--input")]
        labels = source.labels
        chosen = sample(len(source) if labels is None else labels, args.limit, args.seed)
        batch = batch_of(args, net)
        images = Inputs(source, chosen, transform, shape, batch).held(MAX_IMAGES_BYTES)
        if not isinstance(images, np.ndarray):
            raise LimitError("the images are too many to hold", hint="take fewer with --limit")
        calibration: Inputs | None = None
        if args.calib:
            other = open_source(args.calib)
            calibration = Inputs(
                other, sample(len(other), args.calib_images, args.seed), transform, shape
            )
        self.images = len(images)
        self.judge = Layerwise(
            net,
            images,
            None if labels is None else labels[chosen],
            steps=self.steps,
            layers=args.layer or None,
            calibration=calibration,
            output=args.output,
            batch=batch,
            seed=args.seed,
            threads=threads,
        )


_SUBJECTS: Kept[_Subject] = Kept()


def _comparison(data: dict[str, Any]) -> Comparison:
    from cmodel.evaluate import Comparison

    interval = data["interval"]
    return Comparison(**{**data, "interval": None if interval is None else tuple(interval)})


def _steps_of(args: argparse.Namespace) -> list[Mapping[str, Any]]:
    from cmodel.compress import DEFAULT_STEPS

    if args.option and not args.method:
        raise UsageError("--option goes with --method")
    return list(_steps(args.method, args.option) if args.method else DEFAULT_STEPS)


def _steps(method: str, options: list[str]) -> list[dict[str, Any]]:
    """Return a step for each choice of one value of each option."""
    keys, values = [], []
    for option in options:
        key, separator, text = option.partition("=")
        if not (key and separator and text):
            raise UsageError(f"--option is KEY=VALUE or KEY=V1,V2, not `{option}`")
        if key in keys:
            raise UsageError(f"--option {key} is given twice", hint=f"{key}=V1,V2 are two settings")
        keys.append(key)
        values.append([_value(part) for part in text.split(",")])
    return [{"method": method, **dict(zip(keys, v, strict=True))} for v in product(*values)]


def _value(text: str) -> Any:
    """Read a value as TOML does; what is none is a text."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _report(found: list[Sensitivity]) -> str:
    rows = []
    for entry in found:
        seen = entry.comparison
        interval = seen.interval
        rows.append(
            [
                entry.layer,
                " ".join(
                    str(value) if key == "method" else f"{key}={value}"
                    for key, value in entry.step.items()
                ),
                bytes_text(entry.bytes_before),
                bytes_text(entry.bytes),
                f"{seen.kl:.6f}" if isfinite(seen.kl) else "not finite",
                f"{seen.agreement:.2f}",
                "" if seen.loss is None else f"{seen.loss:+.2f}",
                "" if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}",
            ]
        )
    header = ["layer", "step", "before", "after", "KL", "agree %", "loss", "95 %"]
    text = table(header, rows, left=2)
    if found:
        seen = found[0].comparison
        text += f"\n\neach layer alone, all others untouched; {seen.images} images"
        if seen.baseline is not None:
            text += f", top-1 before {seen.baseline:.2f} %"
    return text
