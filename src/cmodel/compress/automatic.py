"""Compression without a recipe: what is chosen, and how the images are shared out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmodel import container
from cmodel.compress.budget import Found, Goal, search
from cmodel.compress.judge import Judge
from cmodel.compress.pipeline import Images, Progress, apply_recipe
from cmodel.compress.recipe import DEFAULT_PRESET, Recipe, load_preset, resolve_recipe
from cmodel.compress.training import Training
from cmodel.data import IntArray, split
from cmodel.errors import CheckFailed, UsageError
from cmodel.net import Net

# What is used where there are images to calibrate on.
CALIBRATED_PRESET = "rdo"
# What is used where there are images to train on.
TRAINED_PRESET = "smallest"
# The target where there are images and none is stated, in points.
DEFAULT_LOSS = 0.5
# Shares of the images. A size needs no images to decide by, so that all but the report's calibrate.
CALIBRATE, SELECT = 0.4, 0.36
CALIBRATE_FOR_SIZE = 0.8
MAX_CALIBRATE = 1000


class TargetMissed(CheckFailed):
    """No knob meets the target; `best` is the nearest net there is."""

    def __init__(self, found: Found, goal: Goal) -> None:
        super().__init__(missed(found, goal), hint="the nearest net is the error's `best`")
        self.best = found.net


@dataclass(frozen=True, eq=False)
class Parts:
    """Disjoint indices of images by what they are for.

    calibrate : the methods see them. select : the search judges by them. report : nothing but the
    figures at the end comes from them.
    """

    calibrate: IntArray
    select: IntArray
    report: IntArray


def parts_of(
    labels_or_n: IntArray | int,
    goal: Goal | None,
    *,
    separate: bool = False,
    most: int = MAX_CALIBRATE,
    seed: int = 0,
) -> Parts:
    """Share images out, by class in proportion where there are labels.

    Parameters
    ----------
    goal : None where nothing is searched for: then nothing is selected by.
    separate : whether the images to calibrate on come from elsewhere.
    most : images to calibrate on, at most; the other parts share what is left over.
    """
    total = labels_or_n if isinstance(labels_or_n, int) else len(labels_or_n)
    by_size = goal is None or goal.size is not None
    calibrate = CALIBRATE_FOR_SIZE if by_size else CALIBRATE
    calibrate = 0.0 if separate else min(calibrate, most / max(total, 1))
    left = 1 - calibrate
    select = 0.0 if by_size else left * SELECT / (1 - CALIBRATE)
    first, second, third = split(labels_or_n, [calibrate, select, left - select], seed)
    return Parts(first, second, third)


def default_recipe(calibrated: bool, trained: bool = False) -> Recipe:
    """Return the recipe that is used where none is stated."""
    if trained:
        return load_preset(TRAINED_PRESET)
    return load_preset(CALIBRATED_PRESET if calibrated else DEFAULT_PRESET)


def compress(
    net: Net,
    recipe: str | os.PathLike[str] | Recipe | None = None,
    *,
    data: Images | None = None,
    labels: IntArray | None = None,
    train: Training | None = None,
    size: int | None = None,
    max_loss: float | None = None,
    max_kl: float | None = None,
    level: int = container.DEFAULT_LEVEL,
    seed: int = 0,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Net:
    """Compress a net; return a new one, `net` is unchanged.

    Without a target the steps of the recipe are applied in order. With one, the knob of the recipe
    (of its `quantize.rdo` steps) is searched: see `cmodel.compress.search`, which also tells how
    the search went. Each parameter has a random generator of its own, made from `seed`, the step
    and the name, so that the result does not depend on the order of the work.

    Parameters
    ----------
    net : the network.
    recipe : the name of a preset, the path of a recipe file, or a Recipe. None chooses: `rdo` where
        there are images, `linear8` (8 bits, safe without any) otherwise.
    data : images as they are fed to the net's first input: float32 (N, C, H, W), or, without
        a target, an iterable of such batches. Labels are never needed to calibrate.
    labels : int64 (N,), for a `max_loss` in points of accuracy; without them it is in points of
        agreement with the net's own answers.
    train : labelled images for steps that train; not together with a target.
    size : bytes that the file has at most.
    max_loss, max_kl : points of accuracy lost, or mean KL(original || result) in nats, at most. Two
        thirds of the images decide (one to calibrate, one to select); the rest is left untouched.
    level : of the container whose bytes are counted, see `cmodel.container.levels`.
    threads : most threads of what runs in parallel; None means all cores of the process.

    Raises
    ------
    TargetMissed : no knob meets the target; its `best` is the nearest net.
    RecipeError : a step selects nothing, does not go with what came before, or needs `data`.
    DataError : the images do not fit the net.
    LimitError : statistics that a step needs would take too much memory.
    WeightsError : a weight is NaN or infinite, and a step does not keep every bit.
    """
    stated = default_recipe(data is not None) if recipe is None else resolve_recipe(recipe)
    if size is None and max_loss is None and max_kl is None:
        return apply_recipe(
            net,
            stated,
            data=data,
            train=train,
            seed=seed,
            threads=threads,
            on_progress=on_progress,
        )
    if train is not None:
        raise UsageError("a target is not searched for with steps that train")
    goal = Goal(size, max_loss, max_kl)
    if not isinstance(data, np.ndarray):
        raise UsageError("a target needs images: data, one array (N, C, H, W)")
    parts = parts_of(len(data) if labels is None else labels, goal, seed=seed)
    decide = parts.calibrate if goal.size is not None else parts.select
    images = np.asarray(data, np.float32)
    judge = Judge.of(
        net,
        images[decide],
        None if labels is None else labels[decide],
        next(iter(net.inputs)),
        net.outputs[0],
    )
    found = search(
        net,
        stated,
        goal,
        data=images[parts.calibrate],
        judge=judge,
        level=level,
        seed=seed,
        threads=threads,
        on_progress=on_progress,
    )
    if not found.reached:
        raise TargetMissed(found, goal)
    return found.net


def missed(found: Found, goal: Goal) -> str:
    """Say what was wanted and what is the best there is."""
    best = found.best
    comparison = best.comparison
    if comparison is None:
        return f"{describe(goal)} cannot be reached; the nearest has {best.bytes:,} bytes"
    what = "agreement" if comparison.loss is None else "accuracy"
    text = (
        f"the nearest has {best.bytes:,} bytes, {best.loss:.2f} points of {what} lost and a KL of "
        f"{comparison.kl:.4f} on {comparison.images:,} images"
    )
    if goal.max_loss is not None and best.loss <= goal.max_loss:
        return f"too few images to tell whether {describe(goal)} holds; {text}"
    return f"{describe(goal)} cannot be reached; {text}"


def describe(goal: Goal) -> str:
    """Return a goal in words."""
    if goal.size is not None:
        return f"a file of {goal.size:,} bytes"
    if goal.max_kl is not None:
        return f"a KL of at most {goal.max_kl:g}"
    return f"a loss of at most {goal.max_loss:g} points"


def facts_of(found: Found, goal: Goal) -> dict[str, Any]:
    """Return how a search went, as plain data."""
    return {
        "goal": {key: value for key, value in vars(goal).items() if value is not None},
        "reached": found.reached,
        "knob": found.best.knob,
        "changes": dict(found.best.changes),
        "attempts": [
            {
                "knob": trial.knob,
                "bytes": trial.bytes,
                "loss": None if trial.comparison is None else trial.loss,
                "kl": None if trial.comparison is None else trial.comparison.kl,
            }
            for trial in found.trials
        ],
    }
