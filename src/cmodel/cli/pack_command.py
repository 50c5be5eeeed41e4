"""`cmodel pack`: compress a model into a container."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmodel.cli.listing import layer_facts, layer_table
from cmodel.cli.options import (
    add_data_options,
    add_state_options,
    add_transform_options,
    one_blob,
    positive,
    source_of,
    transform_of,
)
from cmodel.cli.terminal import Terminal, bytes_text, table
from cmodel.errors import DataError, OutputError, WeightsError

if TYPE_CHECKING:
    from cmodel.data import Inputs
    from cmodel.evaluate import Evaluation
    from cmodel.net import InputTransform, Net

HELP = "compress a Caffe model into a .cmodel"
EXAMPLES = """\
  cmodel pack deploy.prototxt net.caffemodel -o net.cmodel --preset deep-compression
  cmodel pack deploy.prototxt net.caffemodel -o net.cmodel --recipe my.toml \\
      --scale 0.00390625 --data t10k-images-idx3-ubyte.gz"""

LATE = "weights"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", metavar="DEPLOY", help="a prototxt, or a .cmodel to pack again")
    parser.add_argument("weights", metavar="WEIGHTS", nargs="?", help="its caffemodel")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="file to write")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--preset", metavar="P", help="a recipe by name (default linear8)")
    how.add_argument("--recipe", metavar="R", help="a recipe file (TOML)")
    parser.add_argument("--class-names", metavar="F", help="text file, one class name a line")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT")
    parser.add_argument("--dry-run", action="store_true", help="do everything but keep the file")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="pack layers without weights, with random values where their filler says so",
    )
    add_state_options(parser)
    add_transform_options(parser)
    add_data_options(parser)
    calibration = parser.add_argument_group("calibration")
    calibration.add_argument(
        "--calib", metavar="SOURCE", help="images for methods that need some; never those of --data"
    )
    calibration.add_argument(
        "--calib-images", type=positive, default=500, metavar="N", help="of them (default 500)"
    )


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Load, compress, write, verify, measure, report."""
    from cmodel import container
    from cmodel.cli.options import load_model
    from cmodel.compress import DEFAULT_PRESET, compress, resolve_recipe

    output = Path(args.output)
    if output.exists() and not args.force and not args.dry_run:
        raise OutputError(f"`{output}` exists already", hint="-f overwrites it")
    recipe = resolve_recipe(args.recipe or args.preset or DEFAULT_PRESET)
    net = load_model(args, terminal)
    _refuse_unfilled(net, args.allow_missing)
    transform = transform_of(args, net)
    net.transform = None if transform.is_identity else transform
    if args.class_names:
        net.labels = read_lines(args.class_names)
    before = _measure(args, terminal, net, transform, "before") if args.data else None
    with terminal.progress("compressing") as update:
        packed = compress(
            net,
            recipe,
            data=_calibration(args, net, transform) if args.calib else None,
            seed=args.seed,
            on_progress=lambda event: update(event.done, event.total, event.what),
        )
    with container.stored(packed, output, keep=not args.dry_run) as path:
        stored = container.Container(path, max_memory=args.max_memory)
        after = None
        if before is not None:
            after = _measure(args, terminal, stored.net(), transform, "after")
        facts = _facts(net, stored, recipe.name, before, after)
        facts["output"] = None if args.dry_run else str(output)
    if before is None:
        terminal.note("accuracy was not measured; --data SOURCE measures it before and after")
    terminal.document("pack", facts, _text(facts))
    return 0


def _calibration(args: argparse.Namespace, net: Net, transform: InputTransform) -> Inputs:
    from cmodel.cli.eval_command import image_inputs
    from cmodel.data import Inputs, open_source, sample

    source = open_source(args.calib)
    chosen = sample(len(source), args.calib_images, args.seed)
    blob = one_blob(image_inputs(net), None, "input", "--input")
    return Inputs(source, chosen, transform, net.inputs[blob])


def _refuse_unfilled(net: Net, allowed: bool) -> None:
    unfilled = net.notes.pop("unfilled", [])
    if unfilled and not allowed:
        raise WeightsError(
            "the weights lack parameters whose fillers are random",
            notes=[f"without weights: {', '.join(unfilled)}"],
            hint="give the right caffemodel, or --allow-missing packs random values",
        )


def read_lines(path: str) -> tuple[str, ...]:
    """Read a text file of class names."""
    try:
        return tuple(Path(path).read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the class names: {error}", where=path) from error


def _measure(
    args: argparse.Namespace,
    terminal: Terminal,
    net: Net,
    transform: InputTransform,
    what: str,
) -> Evaluation:
    from cmodel.cli.eval_command import measure

    with terminal.progress(f"accuracy {what}") as update:
        return measure(args, net, transform, source_of(args, net), update)


def _facts(
    net: Net, stored: Any, recipe: str, before: Evaluation | None, after: Evaluation | None
) -> dict[str, Any]:
    bytes_before = 4 * net.parameter_count()
    facts: dict[str, Any] = {
        "recipe": recipe,
        "bytes_before": bytes_before,
        "bytes_after": stored.size,
        "ratio": bytes_before / stored.size,
        "bytes_network": stored.sections[0].stored_size,
        "layers": layer_facts(stored),
    }
    if before is not None and after is not None:
        facts |= {
            "top1_before": before.top1,
            "top1_after": after.top1,
            "top5_before": before.top5,
            "top5_after": after.top5,
            "images": before.images,
        }
    return facts


def _text(facts: dict[str, Any]) -> str:
    rows = [
        ["parameters", bytes_text(facts["bytes_before"]), bytes_text(facts["bytes_after"])],
        ["ratio", "1.0x", f"{facts['ratio']:.1f}x"],
    ]
    for name in ("top1", "top5"):
        if facts.get(f"{name}_before") is not None:
            before, after = facts[f"{name}_before"], facts[f"{name}_after"]
            rows.append([f"{name.replace('top', 'top-')}", f"{before:.2f} %", f"{after:.2f} %"])
    summary = table(["", "before", "after"], rows)
    if "images" in facts:
        summary += f"\naccuracy on {facts['images']} images"
    return f"{layer_table(facts['layers'])}\n\n{summary}"
