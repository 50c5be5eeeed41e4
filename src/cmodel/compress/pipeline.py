"""Runs a recipe over a net."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from cmodel.compress.recipe import DEFAULT_PRESET, Recipe, Step, resolve_recipe
from cmodel.compress.registry import Task
from cmodel.compress.selectors import Target, matches_any, targets_of
from cmodel.errors import RecipeError, WeightsError, did_you_mean
from cmodel.net import Net
from cmodel.tensors import Form, size_of, stored_floats


@dataclass(frozen=True)
class Progress:
    """An event: `done` of `total` pieces of work, and what comes next."""

    done: int
    total: int
    what: str


def compress(
    net: Net,
    recipe: str | os.PathLike[str] | Recipe = DEFAULT_PRESET,
    *,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Net:
    """Apply the steps of a recipe in order; return a new net, `net` is unchanged.

    `recipe` is the name of a preset, the path of a recipe file, or a Recipe. Each parameter has a
    random generator of its own, made from `seed`, the step and the name, so that the result does
    not depend on the order of the work.

    Raises
    ------
    RecipeError : a step selects nothing, or does not go with what came before.
    WeightsError : a weight is NaN or infinite.
    """
    recipe = resolve_recipe(recipe)
    check_finite(net)
    result = net.copy()
    facts: dict[str, dict[str, Any]] = {}
    chosen = [_select(result, step) for step in recipe.steps]
    total = sum(len(targets) for targets in chosen)
    done = 0
    for number, (step, targets) in enumerate(zip(recipe.steps, chosen, strict=True)):
        for target in targets:
            if on_progress is not None:
                on_progress(Progress(done, total, f"{step.method.name} {target.name}"))
            form = cast(Form, result.parameters[target.name])
            rng = np.random.default_rng([seed, number, zlib.crc32(target.name.encode())])
            try:
                task = Task(target.layer, target.name, form, step.options_for(target), rng)
                outcome = step.method.run(task)
            except RecipeError as error:
                error.where = error.where or step.where
                raise
            result.parameters[target.name] = outcome.form
            if outcome.facts:
                facts.setdefault(target.name, {})[step.method.name] = dict(outcome.facts)
            done += 1
    if on_progress is not None:
        on_progress(Progress(total, total, "done"))
    result.notes["recipe"] = dict(recipe.source)
    result.notes["seed"] = seed
    if facts:
        result.notes["facts"] = facts
    return result


def _select(net: Net, step: Step) -> list[Target]:
    every = list(targets_of(net))
    sizes = {t.name: size_of(net.parameters.shape(t.name)) for t in every}
    targets = [t for t in every if step.selector.matches(t, sizes[t.name])]
    if not targets:
        raise _nothing_selected(step, every)
    _check_overrides(step, every)
    return targets


def _nothing_selected(step: Step, every: list[Target]) -> RecipeError:
    selector = step.selector
    stated = [
        f"select.{key} = {', '.join(value) if isinstance(value, tuple) else value}"
        for key, value in vars(selector).items()
        if value and value != 1
    ]
    names = list(dict.fromkeys(target.layer.key for target in every))
    hint = None
    for pattern in selector.name:
        hint = hint or did_you_mean(pattern, names)
    return RecipeError(
        f"`{step.method.name}` matches no parameter",
        where=f"{step.where}: {'; '.join(stated)}",
        notes=[f"layers with parameters: {', '.join(names) or 'none'}"],
        hint=hint or "`cmodel inspect` lists every layer",
    )


def _check_overrides(step: Step, every: list[Target]) -> None:
    """Refuse an override by name that matches no layer: it would silently do nothing."""
    names = list(dict.fromkeys(target.layer.key for target in every))
    for pattern in step.by_name:
        if not any(matches_any(name, (pattern,)) for name in names):
            raise RecipeError(
                f"the options for `{pattern}` match no layer",
                where=step.where,
                notes=[f"layers with parameters: {', '.join(names)}"],
                hint=did_you_mean(pattern, names),
            )


def check_finite(net: Net) -> None:
    """Refuse NaN and infinite values, naming parameter and index.

    Raises
    ------
    WeightsError
    """
    for name in net.parameters:
        form = cast(Form, net.parameters[name])
        if all(np.isfinite(floats).all() for floats in stored_floats(form)):
            continue
        dense = form.to_dense()
        bad = np.flatnonzero(~np.isfinite(dense))
        if bad.size:
            value = dense.reshape(-1)[bad[0]]
            place = ", ".join(str(i) for i in np.unravel_index(bad[0], dense.shape or (1,)))
            raise WeightsError(
                f"the parameter `{name}` has {bad.size} values that are NaN or infinite",
                notes=[f"the first is {value} at ({place})"],
                hint="train the model again from the last good snapshot",
            )
