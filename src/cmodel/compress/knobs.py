"""Recipes with a knob: one number that moves all their layers along a curve of bytes and loss."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from typing import Any

from cmodel.compress.recipe import Recipe, recipe_of

KNOB_METHOD = "quantize.rdo"
# Options to set, by method.
Changes = Mapping[str, Mapping[str, Any]]


def has_knob(recipe: Recipe) -> bool:
    """Whether a recipe can be searched."""
    return any(step.method.name == KNOB_METHOD and "knob" in step.options for step in recipe.steps)


def with_knob(
    recipe: Recipe,
    knob: float,
    factors: Mapping[str, float] | None = None,
    changes: Changes | None = None,
) -> Recipe:
    """Return the recipe with its knob set: for some layers (by key) times a factor of their own.

    changes : more options to set in the steps of some methods; of `quantize.rdo` those with a knob.
    """
    steps = []
    for step in recipe.source["step"]:
        method = step["method"]
        if method != KNOB_METHOD or "knob" in step:
            step = {**step, **(changes or {}).get(method, {})}
        if method == KNOB_METHOD and "knob" in step:
            step["knob"] = knob
            if factors:
                by_name = {key: dict(values) for key, values in step.get("name", {}).items()}
                for key, factor in factors.items():
                    by_name.setdefault(glob.escape(key), {})["knob"] = knob * factor
                step["name"] = by_name
        steps.append(step)
    return recipe_of({**recipe.source, "step": steps}, recipe.name)


def changed(one: Changes, two: Changes) -> Changes:
    """Return the options of both; the second's count where both have one."""
    return {method: {**one.get(method, {}), **two.get(method, {})} for method in {**one, **two}}


def before_knob(recipe: Recipe) -> Recipe | None:
    """Return the steps before the first one with the knob; None where there are none."""
    steps = recipe.source["step"]
    first = next(i for i, step in enumerate(steps) if step["method"] == KNOB_METHOD)
    return recipe_of({**recipe.source, "step": steps[:first]}, recipe.name) if first else None
