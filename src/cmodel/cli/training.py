"""The options of `pack` for recipes that train, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cmodel.cli.options import one_blob, positive, refuse_transform
from cmodel.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from cmodel.compress import Goal, Recipe, Training
    from cmodel.net import InputTransform, Net

_BATCH = 500


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name what to train on."""
    group = parser.add_argument_group(
        "training", "for presets and recipes with steps that train; they need the extra `finetune`"
    )
    group.add_argument(
        "--train",
        metavar="SOURCE",
        help="labelled images to train on; never those of --data. A part is set apart to choose by",
    )
    group.add_argument("--train-labels", metavar="L", help="their labels, if not beside them")
    group.add_argument(
        "--train-limit", type=positive, metavar="N", help="a seeded sample of N of them"
    )
    group.add_argument(
        "--epochs", type=positive, metavar="N", help="of the whole recipe (default: as it says)"
    )
    group.add_argument(
        "--checkpoints",
        type=Path,
        metavar="DIR",
        help="keep the state after each epoch there; the same command goes on where it was stopped",
    )


def training_of(args: argparse.Namespace, net: Net, transform: InputTransform) -> Training | None:
    """Open the training images, or return None where there are none.

    Raises
    ------
    UsageError : an option that needs --train, or --train names the images of --data.
    """
    import numpy as np

    from cmodel.compress import Training
    from cmodel.data import Inputs, Labelled, open_source, sample
    from cmodel.net import image_inputs

    if args.train is None:
        for name in ("train_labels", "train_limit", "epochs", "checkpoints"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} goes with --train")
        return None
    if args.data is not None and Path(args.train).resolve() == Path(args.data).resolve():
        raise UsageError(
            "--train and --data name the same images",
            hint="what trains a net cannot tell how good it is",
        )
    source = open_source(args.train, labels=args.train_labels)
    refuse_transform(args, source)
    chosen = np.arange(len(source), dtype=np.int64)
    if args.train_limit is not None:
        labels_or_n = len(source) if source.labels is None else source.labels
        chosen = sample(labels_or_n, args.train_limit, args.seed)
    shape = net.inputs[one_blob(image_inputs(net), None, "input", "--input")]
    labels = None if source.labels is None else source.labels[chosen]
    images = Labelled(Inputs(source, chosen, transform, shape, _BATCH), labels)
    return Training(images, args.epochs, args.checkpoints)


def aimed(recipe: Recipe, goal: Goal) -> Recipe:
    """Return the recipe whose training leads to a size.

    Raises
    ------
    UsageError : the goal is no size, or no step of the recipe is led to one.
    """
    from cmodel.compress import recipe_of

    if goal.size is None:
        raise UsageError(
            "with steps that train a target is a --size or a --ratio",
            hint="what a size costs is known when it is trained for",
        )
    data = dict(recipe.source)
    steps = [dict(step) for step in data["step"]]
    led = [step for step in steps if step["method"] == "retrain.quantize"]
    if not led:
        raise UsageError(
            f"the recipe `{recipe.name}` has no step that is led to a size",
            hint="`retrain.quantize` is, as in the preset `smallest`",
        )
    for step in led:
        for key in ("rate", "ratio"):
            step.pop(key, None)
        step["size"] = goal.size
    try:
        return recipe_of({**data, "step": steps}, f"recipe {recipe.name}")
    except RecipeError as error:
        raise UsageError(error.message, where=error.where) from error
