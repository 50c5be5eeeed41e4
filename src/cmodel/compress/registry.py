"""The methods by name. A method is a pure function on the form of one parameter.

    @method("quantize.kmeans", Options)
    def kmeans(task: Task[Options]) -> Outcome: ...

`Options` is a frozen dataclass: its fields are the keys that a recipe may give, its defaults the
method's, and its `__post_init__` raises ValueError for what is out of range.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Generic, TypeVar

import numpy as np

from cmodel.errors import RecipeError, did_you_mean
from cmodel.net import Layer
from cmodel.tensors import Form

OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True)
class Task(Generic[OptionsT]):
    """What a method gets: one parameter of one layer, its options, and a generator of its own."""

    layer: Layer
    name: str
    form: Form
    options: OptionsT
    rng: np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """What a method gives: the new form and facts worth telling (plain JSON data)."""

    form: Form
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A registered method."""

    name: str
    options: type[Any]
    run: Callable[[Task[Any]], Outcome]

    def make_options(self, values: Mapping[str, Any]) -> Any:
        """Build the options from recipe values.

        Raises
        ------
        RecipeError : an unknown key, a value of the wrong type or out of range.
        """
        known = {f.name: f for f in dataclasses.fields(self.options)}
        for key in values:
            if key not in known:
                raise RecipeError(
                    f"`{self.name}` has no option `{key}`",
                    notes=[f"its options: {', '.join(known) or 'none'}"],
                    hint=did_you_mean(key, known),
                )
        try:
            return self.options(**values)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"an option of `{self.name}` is wrong: {error}") from error


# Where each method lives: one line for each. A package above this one may add its own.
MODULES = {
    "prune.magnitude": "cmodel.compress.methods.prune_magnitude",
    "quantize.kmeans": "cmodel.compress.methods.quantize_kmeans",
    "quantize.linear": "cmodel.compress.methods.quantize_linear",
}
_methods: dict[str, Method] = {}


def method(
    name: str, options: type[OptionsT]
) -> Callable[[Callable[[Task[OptionsT]], Outcome]], Callable[[Task[OptionsT]], Outcome]]:
    """Register a function as the method `name`; a second one of the same name is refused."""

    def register(run: Callable[[Task[OptionsT]], Outcome]) -> Callable[[Task[OptionsT]], Outcome]:
        if name in _methods:
            raise ValueError(f"the method `{name}` is registered twice")
        _methods[name] = Method(name, options, run)
        return run

    return register


def find_method(name: str) -> Method:
    """Return the method of this name.

    Raises
    ------
    RecipeError : there is none; the hint names the nearest.
    """
    if name not in MODULES:
        raise RecipeError(
            f"there is no method `{name}`",
            notes=[f"methods: {', '.join(sorted(MODULES))}"],
            hint=did_you_mean(name, MODULES),
        )
    import_module(MODULES[name])
    return _methods[name]
