"""The methods by name. There are two kinds, both pure and both known to recipes by their name.

A *method* turns the form of one parameter into another one:

    @method("quantize.kmeans", Options)
    def quantize_kmeans(task: Task[Options]) -> Outcome: ...

A *rewrite* turns the net into another one, layers and parameters:

    @rewrite("factorize.svd", Options)
    def factorize_svd(task: RewriteTask[Options]) -> Rewritten: ...

`Options` is a frozen dataclass: its fields are the keys that a recipe may give, its defaults the
method's, and its `__post_init__` raises ValueError for what is out of range.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Generic, TypeVar

import numpy as np

from cmodel.compress.selectors import Target
from cmodel.compress.statistics import Calibration, Statistics
from cmodel.compress.training import Lesson
from cmodel.errors import RecipeError, did_you_mean
from cmodel.net import Layer, Net
from cmodel.tensors import Form

OptionsT = TypeVar("OptionsT")
Facts = Mapping[str, Any]
# What a step asks of the calibration data: "gram", and "cross", "sensitivity" or "fisher"
# (`Statistics`); for a rewrite also "images": the data as such, and "labels": labelled images to
# train on.
Needs = frozenset[str]
NOTHING: Needs = frozenset()
GRAM: Needs = frozenset({"gram"})
GRAM_AND_CROSS: Needs = frozenset({"gram", "cross"})
IMAGES: Needs = frozenset({"images"})
GRAM_AND_SENSITIVITY: Needs = frozenset({"gram", "sensitivity"})
GRAM_AND_FISHER: Needs = frozenset({"gram", "sensitivity", "fisher"})
LABELS: Needs = frozenset({"labels"})


@dataclass(frozen=True)
class Task(Generic[OptionsT]):
    """What a method gets: one parameter of one layer, its options, and a generator of its own.

    statistics : of the layer's inputs, where the method needs them.
    survey : what the method's `survey` made of all parameters of the step.
    threads : how many may share the work.
    """

    layer: Layer
    name: str
    form: Form
    options: OptionsT
    rng: np.random.Generator
    statistics: Statistics | None = None
    survey: Any = None
    threads: int = 1

    @property
    def inputs(self) -> Statistics:
        """The statistics, for a method that declares that it needs them."""
        if self.statistics is None:
            raise AssertionError(f"`{self.name}` came without statistics")
        return self.statistics


@dataclass(frozen=True)
class Outcome:
    """What a method gives: the new form and facts worth telling (plain JSON data)."""

    form: Form
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class RewriteTask(Generic[OptionsT]):
    """What a rewrite gets.

    net : a copy of its own; may be changed and returned.
    targets : the parameters that the step selects, in the order of the net.
    options, statistics : by parameter name; statistics only for those whose options need them.
    calibration : the images, where there are any.
    reference : the net as it was before the first step.
    training : what to train on, where there is anything.
    tell : called with words on how far it is.
    """

    net: Net
    targets: Sequence[Target]
    options: Mapping[str, OptionsT]
    statistics: Mapping[str, Statistics]
    rng: np.random.Generator
    calibration: Calibration | None = None
    reference: Net | None = None
    threads: int = 1
    training: Lesson | None = None
    tell: Callable[[str], None] = lambda words: None

    @property
    def lesson(self) -> Lesson:
        """What to train on, for a rewrite that declares that it needs labels."""
        if self.training is None:
            raise AssertionError("a rewrite that needs labels came without")
        return self.training

    @property
    def images(self) -> Calibration:
        """The images, for a rewrite that declares that it needs them."""
        if self.calibration is None:
            raise AssertionError("a rewrite that needs images came without")
        return self.calibration

    @property
    def original(self) -> Net:
        """The net before the first step."""
        return self.net if self.reference is None else self.reference


@dataclass(frozen=True)
class Rewritten:
    """What a rewrite gives: the new net, and facts by the name of a target."""

    net: Net
    facts: Mapping[str, Facts] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What methods and rewrites have in common.

    needs : what a parameter with these options needs to know of its layer's inputs.
    """

    name: str
    options: type[Any]
    needs: Callable[[Any], Needs]

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


@dataclass(frozen=True)
class Method(Entry):
    """A registered method.

    survey : called once before a step with all its forms and their options, for what one parameter
        alone does not tell; None where each is on its own.
    exact : whether it keeps every bit, also of values that are not finite.
    """

    run: Callable[[Task[Any]], Outcome]
    survey: Callable[[Sequence[Form], Sequence[Any]], Any] | None = None
    exact: bool = False


@dataclass(frozen=True)
class Rewrite(Entry):
    """A registered rewrite."""

    run: Callable[[RewriteTask[Any]], Rewritten]


# Where each method lives: one line for each. It is imported when a recipe first names it.
MODULES = {
    "cast.half": "cmodel.compress.methods.cast_half",
    "correct.batchnorm": "cmodel.compress.methods.correct_batchnorm",
    "correct.bias": "cmodel.compress.methods.correct_bias",
    "factorize.conv": "cmodel.compress.methods.factorize_conv",
    "factorize.dictionary": "cmodel.compress.methods.factorize_dictionary",
    "factorize.svd": "cmodel.compress.methods.factorize_svd",
    "fold.batchnorm": "cmodel.compress.methods.fold_batchnorm",
    "fold.equalize": "cmodel.compress.methods.fold_equalize",
    "hash.buckets": "cmodel.compress.methods.hash_buckets",
    "lossless.best": "cmodel.compress.methods.lossless_best",
    "mean.image": "cmodel.compress.methods.mean_image",
    "prune.block": "cmodel.compress.methods.prune_block",
    "prune.dead": "cmodel.compress.methods.prune_dead",
    "prune.magnitude": "cmodel.compress.methods.prune_magnitude",
    "prune.obs": "cmodel.compress.methods.prune_obs",
    "prune.structured": "cmodel.compress.methods.prune_structured",
    "quantize.activations": "cmodel.compress.methods.quantize_activations",
    "quantize.binary": "cmodel.compress.methods.quantize_binary",
    "quantize.cartesian": "cmodel.compress.methods.quantize_cartesian",
    "quantize.kmeans": "cmodel.compress.methods.quantize_kmeans",
    "quantize.linear": "cmodel.compress.methods.quantize_linear",
    "quantize.product": "cmodel.compress.methods.quantize_product",
    "quantize.qcnn": "cmodel.compress.methods.quantize_qcnn",
    "quantize.rdo": "cmodel.compress.methods.quantize_rdo",
    "quantize.residual": "cmodel.compress.methods.quantize_residual",
    "quantize.side": "cmodel.compress.methods.quantize_side",
    "quantize.stochastic": "cmodel.compress.methods.quantize_stochastic",
    "quantize.uniform": "cmodel.compress.methods.quantize_uniform",
    "retrain": "cmodel.finetune.steps.retrain",
    "retrain.prune": "cmodel.finetune.steps.prune",
    "retrain.quantize": "cmodel.finetune.steps.quantize",
    "retrain.student": "cmodel.finetune.steps.student",
    "retrain.surgery": "cmodel.finetune.steps.surgery",
}
_entries: dict[str, Method | Rewrite] = {}


def method(
    name: str,
    options: type[OptionsT],
    *,
    needs: Needs | Callable[[OptionsT], Needs] = NOTHING,
    survey: Callable[[Sequence[Form], Sequence[OptionsT]], Any] | None = None,
    exact: bool = False,
) -> Callable[[Callable[[Task[OptionsT]], Outcome]], Callable[[Task[OptionsT]], Outcome]]:
    """Register a function as the method `name`; a second one of the same name is refused."""

    def register(run: Callable[[Task[OptionsT]], Outcome]) -> Callable[[Task[OptionsT]], Outcome]:
        _add(Method(name, options, _as_function(needs), run, survey, exact))
        return run

    return register


def rewrite(
    name: str,
    options: type[OptionsT],
    *,
    needs: Needs | Callable[[OptionsT], Needs] = NOTHING,
) -> Callable[
    [Callable[[RewriteTask[OptionsT]], Rewritten]], Callable[[RewriteTask[OptionsT]], Rewritten]
]:
    """Register a function as the rewrite `name`; a second one of the same name is refused."""

    def register(
        run: Callable[[RewriteTask[OptionsT]], Rewritten],
    ) -> Callable[[RewriteTask[OptionsT]], Rewritten]:
        _add(Rewrite(name, options, _as_function(needs), run))
        return run

    return register


def _as_function(needs: Needs | Callable[[OptionsT], Needs]) -> Callable[[OptionsT], Needs]:
    return needs if callable(needs) else lambda options: needs


def _add(entry: Method | Rewrite) -> None:
    if entry.name in _entries:
        raise ValueError(f"the method `{entry.name}` is registered twice")
    _entries[entry.name] = entry


def find_method(name: str) -> Method | Rewrite:
    """Return the method or rewrite of this name.

    Raises
    ------
    RecipeError : there is none; the hint names the nearest.
    """
    if name not in MODULES:
        raise RecipeError(
            f"there is no method `{name}`",
            notes=[f"methods: {', '.join(method_names())}"],
            hint=did_you_mean(name, method_names()),
        )
    import_module(MODULES[name])
    return _entries[name]


def method_names() -> list[str]:
    """Return the names of all methods, sorted."""
    return sorted(MODULES)
