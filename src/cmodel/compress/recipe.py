"""Recipes: ordered steps in TOML, and the presets, which are recipes with a name.

name = "mine"

[[step]]
method = "quantize.kmeans"
k = 32                       # options of the method
select = { name = "ip*" }    # which parameters; without it all weights
optional = true              # nothing to do is no error
[step.type.Convolution]      # options for a layer type: beat those above
k = 256
[step.name."conv1"]          # options for layers by name (globs): beat those by type
k = 64
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from cmodel.compress.registry import Method, Rewrite, find_method
from cmodel.compress.selectors import Selector, Target, matches_any
from cmodel.errors import InputError, RecipeError, UsageError, did_you_mean

MAX_RECIPE = 1 << 20
# Safe without any data to check it on.
DEFAULT_PRESET = "linear8"


@dataclass(frozen=True)
class Step:
    """One step: a method, its selector, and its options by precedence.

    optional : a step that selects nothing is left out; otherwise that is an error.
    """

    method: Method | Rewrite
    selector: Selector
    options: Mapping[str, Any]
    by_type: Mapping[str, Mapping[str, Any]]
    by_name: Mapping[str, Mapping[str, Any]]
    where: str
    optional: bool = False

    def options_for(self, target: Target) -> Any:
        """Return the options for one parameter: name beats type beats the step's own."""
        values = dict(self.options)
        values.update(self.by_type.get(target.layer.type, {}))
        for pattern, overrides in self.by_name.items():
            if matches_any(target.layer.key, (pattern,)):
                values.update(overrides)
        return self.method.make_options(values)


@dataclass(frozen=True)
class Recipe:
    """An ordered list of steps. `source` is the recipe as plain data, for the notes of a file."""

    name: str
    steps: tuple[Step, ...]
    source: Mapping[str, Any]


def preset_names() -> list[str]:
    """Return the names of the presets."""
    folder = resources.files("cmodel.compress") / "presets"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def preset_text(name: str) -> str:
    """Return the TOML text of a preset.

    Raises
    ------
    RecipeError : there is none of this name.
    """
    known = preset_names()
    if name not in known:
        raise RecipeError(
            f"there is no preset `{name}`",
            notes=[f"presets: {', '.join(known)}"],
            hint=did_you_mean(name, known),
        )
    return (resources.files("cmodel.compress") / "presets" / f"{name}.toml").read_text("utf-8")


def load_preset(name: str) -> Recipe:
    """Return the preset of this name.

    Raises
    ------
    RecipeError : there is none.
    """
    return parse_recipe(preset_text(name), f"preset {name}")


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe file.

    Raises
    ------
    InputError : it cannot be read.
    RecipeError : it is not a valid recipe.
    """
    return parse_recipe(read_toml(path, "a recipe"), str(Path(path)))


def read_toml(path: str | Path, what: str) -> str:
    """Return the text of a file of at most MAX_RECIPE bytes; `what` names its kind in errors.

    Raises
    ------
    InputError : it cannot be read.
    RecipeError : it is too long, or not UTF-8.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_RECIPE:
            raise RecipeError(f"{what} has at most {MAX_RECIPE} bytes", where=str(file))
        return file.read_text("utf-8")
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(file)) from error
    except UnicodeDecodeError as error:
        raise RecipeError("it is not UTF-8 text", where=str(file)) from error


def resolve_recipe(recipe: str | os.PathLike[str] | Recipe) -> Recipe:
    """Return a recipe: given as such, by the name of a preset, or by the path of a TOML file.

    Raises
    ------
    UsageError : neither a preset nor a file.
    RecipeError : the file is not a valid recipe.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe in preset_names():
        return load_preset(str(recipe))
    if Path(recipe).suffix == ".toml" or Path(recipe).exists():
        return load_recipe(Path(recipe))
    raise UsageError(
        f"`{recipe}` is neither a preset nor a recipe file",
        notes=[f"presets: {', '.join(preset_names())}"],
        hint=did_you_mean(str(recipe), preset_names()),
    )


def parse_recipe(text: str, where: str) -> Recipe:
    """Parse a recipe from TOML text; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"it is not valid TOML: {error}", where=where) from error
    return recipe_of(data, where)


def recipe_of(data: Mapping[str, Any], where: str) -> Recipe:
    """Return the recipe that plain data says, as a recipe file would; `where` names it in errors.

    Raises
    ------
    RecipeError
    """
    for key in data:
        if key not in ("name", "step"):
            raise RecipeError(
                f"a recipe has no key `{key}`",
                where=where,
                notes=["its keys: name, step"],
                hint=did_you_mean(key, ("name", "step")),
            )
    steps = data.get("step", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise RecipeError("steps are written [[step]]", where=where)
    if not steps:
        raise RecipeError("a recipe has at least one [[step]]", where=where)
    name = data.get("name", Path(where).stem)
    if not isinstance(name, str):
        raise RecipeError("name is a string", where=where)
    return Recipe(
        name,
        tuple(_parse_step(step, f"{where}, step {i}") for i, step in enumerate(steps, 1)),
        data,
    )


def _parse_step(data: Mapping[str, Any], where: str) -> Step:
    values = dict(data)
    name = values.pop("method", None)
    if not isinstance(name, str):
        raise RecipeError("a step names its method", where=where, hint='method = "..."')
    try:
        method = find_method(name)
        optional = values.pop("optional", False)
        if not isinstance(optional, bool):
            raise RecipeError("optional is true or false")
        select = _table(values.pop("select", {}), "select", where)
        by_type = _tables(values.pop("type", {}), "type", where)
        by_name = _tables(values.pop("name", {}), "name", where)
        # Every combination is checked when it is used; the plain ones already here.
        for overrides in ({}, *by_type.values(), *by_name.values()):
            method.make_options({**values, **overrides})
    except RecipeError as error:
        error.where = error.where or where
        raise
    selector = Selector.from_recipe(select, where)
    return Step(method, selector, values, by_type, by_name, where, optional)


def _table(value: Any, key: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RecipeError(f"{key} is a table", where=where)
    return value


def _tables(value: Any, key: str, where: str) -> Mapping[str, Mapping[str, Any]]:
    outer = _table(value, f"step.{key}", where)
    return {name: _table(inner, f"step.{key}.{name}", where) for name, inner in outer.items()}
