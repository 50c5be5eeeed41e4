"""`cmodel pack`: compress a model into a container."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmodel.cli.fit import check_fit
from cmodel.cli.listing import layer_facts, layer_table, original_count
from cmodel.cli.options import (
    add_calibration_options,
    add_data_options,
    add_executor_option,
    add_state_options,
    add_transform_options,
    byte_size,
    more_than_none,
    more_than_one,
    transform_of,
)
from cmodel.cli.pack_images import PackImages
from cmodel.cli.pack_list import run_list
from cmodel.cli.terminal import Terminal, bytes_text, table
from cmodel.cli.training import add_training_options, aimed, training_of
from cmodel.errors import CheckFailed, DataError, UsageError, WeightsError
from cmodel.files import refuse_existing

if TYPE_CHECKING:
    from cmodel.compress import Cache, Goal, Progress
    from cmodel.evaluate import Comparison
    from cmodel.net import Net

HELP = "compress a Caffe model into a .cmodel"
EXAMPLES = """\
  cmodel pack deploy.prototxt net.caffemodel -o net.cmodel --data images.txt --max-loss 1.0
  cmodel pack deploy.prototxt net.caffemodel -o net.cmodel --preset deep-compression
  cmodel pack deploy.prototxt net.caffemodel -o net.cmodel --recipe my.toml \\
      --scale 0.00390625 --data t10k-images-idx3-ubyte.gz
  cmodel pack deploy.prototxt net.caffemodel -o net.cmodel --preset smallest --ratio 200 \\
      --train train-images-idx3-ubyte.gz --scale 0.00390625 --data t10k-images-idx3-ubyte.gz
  cmodel pack --list models.txt -o packed --preset linear8 --executor dask://10.0.0.1:8786"""

LATE = ("model", "weights")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "model", metavar="DEPLOY", nargs="?", help="a prototxt, or a .cmodel to pack again"
    )
    parser.add_argument("weights", metavar="WEIGHTS", nargs="?", help="its caffemodel")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="file to write; a folder with --list"
    )
    parser.add_argument(
        "--list",
        metavar="LIST",
        help="pack many models alike: a text file, a line `DEPLOY WEIGHTS NAME` for each, paths "
        "relative to it; the exit code is the highest of theirs",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--preset", metavar="P", help="a recipe by name (default: rdo with images, linear8 without)"
    )
    how.add_argument("--recipe", metavar="R", help="a recipe file (TOML)")
    parser.add_argument(
        "--level",
        type=int,
        choices=range(1, 10),
        default=6,
        metavar="1..9",
        help="bounds the time of decoding: 1 and 2 use fast coders only, 9 the smallest whatever "
        "they take; between them, the smallest while the file decodes in 50 ms (default 6)",
    )
    parser.add_argument("--class-names", metavar="F", help="text file, one class name a line")
    parser.add_argument(
        "--notes",
        choices=["auto", "full", "brief", "none"],
        default="auto",
        help="keep the whole recipe and its facts, its name only, or nothing; auto (default): the "
        "name in files of less than 1 MB",
    )
    parser.add_argument(
        "--keep-training",
        action="store_true",
        help="keep what only training reads: fillers, learning rates",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT")
    parser.add_argument("--dry-run", action="store_true", help="do everything but keep the file")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="pack layers without weights, with random values where their filler says so",
    )
    target = parser.add_argument_group(
        "target",
        "searched for on measured bytes and answers; with --data alone --max-loss 0.5. The images "
        "of --data are shared out: some calibrate, some decide, the others give the figures",
    ).add_mutually_exclusive_group()
    target.add_argument("--size", type=byte_size, metavar="SIZE", help="of the file, at most")
    target.add_argument("--ratio", type=more_than_one, metavar="R", help="size as a ratio")
    target.add_argument(
        "--max-loss",
        type=more_than_none,
        metavar="P",
        help="points of accuracy lost, at most; of agreement with the original without labels",
    )
    target.add_argument("--max-kl", type=more_than_none, metavar="K", help="of the outputs, nats")
    add_state_options(parser)
    add_transform_options(parser)
    add_data_options(parser)
    add_calibration_options(parser)
    cache = parser.add_argument_group(
        "cache", "statistics that took more than a second to gather serve later runs"
    ).add_mutually_exclusive_group()
    cache.add_argument(
        "--cache",
        metavar="DIR",
        type=Path,
        help="folder to keep them in (default: WEIGHTS.cmodel-cache), at most 1 GiB",
    )
    cache.add_argument("--no-cache", action="store_true", help="keep none, and use none")
    add_training_options(parser)
    add_executor_option(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Load, choose, compress, write, verify, measure, report."""
    from cmodel import container
    from cmodel.cli.options import load_model
    from cmodel.compress import apply_recipe, automatic, resolve_recipe, search
    from cmodel.net import deployed

    if args.list is not None:
        return run_list(args, terminal)
    if args.model is None:
        raise UsageError("name a model DEPLOY, or many of them with --list")
    if args.executor != "local":
        raise UsageError("--executor goes with --list: one model is one piece of work")
    output = Path(args.output)
    if not args.dry_run:
        refuse_existing(output, args.force)
    stated = args.recipe or args.preset
    recipe = (
        resolve_recipe(stated)
        if stated
        else automatic.default_recipe(bool(args.data or args.calib), bool(args.train))
    )
    net = load_model(args, terminal)
    _refuse_unfilled(net, args.allow_missing)
    if not args.keep_training:
        net = deployed(net)
    transform = transform_of(args, net)
    net.transform = None if transform.is_identity else transform
    if args.class_names:
        net.labels = read_lines(args.class_names)
    check_fit(net)
    training = training_of(args, net, transform)
    goal = _goal(args, net, stated is None and training is None)
    if training is not None and goal is not None:
        recipe, goal = aimed(recipe, goal), None
    images = PackImages(args, net, transform, goal)
    found = None
    with terminal.progress("compressing") as update:

        def tell(event: Progress) -> None:
            update(event.done, event.total, event.what)

        calibration = images.calibration(_cache(args, terminal))
        if images.goal is None or calibration is None:
            packed = apply_recipe(
                net,
                recipe,
                data=calibration,
                train=training,
                seed=args.seed,
                threads=args.threads,
                on_progress=tell,
            )
        else:
            found = search(
                net,
                recipe,
                images.goal,
                data=calibration,
                judge=images.judge(),
                level=args.level,
                seed=args.seed,
                on_progress=tell,
            )
            packed = found.net
            packed.notes["search"] = automatic.facts_of(found, images.goal)
    with container.stored(
        packed, output, keep=not args.dry_run, level=args.level, notes=args.notes
    ) as path:
        stored = container.Container(path, max_memory=args.max_memory)
        with terminal.progress("measuring") as update:
            comparison = images.report(stored.net(), update)
        facts = _facts(net, stored, recipe.name, comparison)
        facts["output"] = None if args.dry_run else str(output)
        if found is not None and images.goal is not None:
            facts["search"] = automatic.facts_of(found, images.goal)
    terminal.document("pack", facts, _text(facts))
    if comparison is None:
        terminal.note(
            "accuracy was not measured; with --data SOURCE it is, and the file gets smaller: the "
            "weights are then quantized by what the images need"
            if not args.data
            else "accuracy was not measured: all images were needed to calibrate"
        )
    if found is not None and images.goal is not None and not found.reached:
        text = automatic.missed(found, images.goal)
        if not _is_stated(args):
            terminal.warn(f"{text}; the file holds that")
            return 0
        raise CheckFailed(
            f"{text}; `{args.output}` holds that",
            hint=None if images.goal.size else "more images in --data tell smaller losses",
        )
    return 0


def _cache(args: argparse.Namespace, terminal: Terminal) -> Cache | None:
    """Return where statistics are kept: the folder stated, or one beside the weights."""
    from cmodel.compress import Cache

    if args.no_cache:
        return None
    model = Path(args.weights or args.model)
    folder = args.cache or model.with_name(f"{model.name}.cmodel-cache")
    return Cache(folder, on_warning=terminal.warn)


def _is_stated(args: argparse.Namespace) -> bool:
    return any(value is not None for value in (args.size, args.ratio, args.max_loss, args.max_kl))


def _goal(args: argparse.Namespace, net: Net, automatic: bool) -> Goal | None:
    """Return the target that the options state, or the default one where nothing else is said."""
    from cmodel.compress import Goal
    from cmodel.compress.automatic import DEFAULT_LOSS

    if args.ratio is not None:
        return Goal(size=int(4 * net.parameter_count() / args.ratio))
    if args.size is not None:
        return Goal(size=args.size)
    if args.max_loss is not None:
        return Goal(max_loss=args.max_loss)
    if args.max_kl is not None:
        return Goal(max_kl=args.max_kl)
    return Goal(max_loss=DEFAULT_LOSS) if automatic and args.data else None


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


def _facts(net: Net, stored: Any, recipe: str, comparison: Comparison | None) -> dict[str, Any]:
    bytes_before = 4 * original_count(net)
    facts: dict[str, Any] = {
        "recipe": recipe,
        "bytes_before": bytes_before,
        "bytes_after": stored.size,
        "ratio": bytes_before / stored.size,
        "bytes_network": stored.sections[0].stored_size,
        "layers": layer_facts(stored),
    }
    if comparison is not None:
        facts |= {
            "images": comparison.images,
            "kl": comparison.kl,
            "agreement": comparison.agreement,
            "top1_before": comparison.baseline,
            "top1_after": comparison.top1,
            "top5_before": comparison.baseline5,
            "top5_after": comparison.top5,
            "loss": comparison.loss,
            "loss_interval": comparison.interval,
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
        summary += f"\n{_answers(facts)}"
    return f"{layer_table(facts['layers'])}\n\n{summary}"


def _answers(facts: dict[str, Any]) -> str:
    text = f"on {facts['images']:,} images that nothing else was decided by: "
    if facts["loss"] is not None:
        low, high = facts["loss_interval"]
        text += f"loss {facts['loss']:.2f} points (95 %: {low:.2f} to {high:.2f}), "
    return text + f"KL {facts['kl']:.4f}, same answer {facts['agreement']:.2f} %"
