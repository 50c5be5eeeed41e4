"""Compression: methods, recipes of methods, and the pipeline that runs them.

The package can be called: ``cmodel.compress(net, "deep-compression")`` runs its `compress`.
"""

import sys
from types import ModuleType

from cmodel.compress.automatic import Parts, compress, default_recipe, parts_of
from cmodel.compress.budget import search
from cmodel.compress.cache import Cache
from cmodel.compress.judge import Judge
from cmodel.compress.layerwise import DEFAULT_STEPS, Layerwise, Sensitivity, sensitivity
from cmodel.compress.mean_image import MeanChoice, choose_mean
from cmodel.compress.pipeline import Progress, apply_recipe, check_finite
from cmodel.compress.recipe import (
    DEFAULT_PRESET,
    Recipe,
    Step,
    load_preset,
    load_recipe,
    parse_recipe,
    preset_names,
    recipe_of,
    resolve_recipe,
)
from cmodel.compress.registry import (
    MODULES,
    Method,
    Outcome,
    Rewrite,
    RewriteTask,
    Rewritten,
    Task,
    find_method,
    method,
    method_names,
    rewrite,
)
from cmodel.compress.selectors import Target
from cmodel.compress.statistics import Calibration, Statistics
from cmodel.compress.training import Lesson, Training
from cmodel.compress.trials import Found, Goal, Trial

__all__ = [
    "DEFAULT_PRESET",
    "DEFAULT_STEPS",
    "MODULES",
    "Cache",
    "Calibration",
    "Found",
    "Goal",
    "Judge",
    "Layerwise",
    "Lesson",
    "MeanChoice",
    "Method",
    "Outcome",
    "Parts",
    "Progress",
    "Recipe",
    "Rewrite",
    "RewriteTask",
    "Rewritten",
    "Sensitivity",
    "Statistics",
    "Step",
    "Target",
    "Task",
    "Training",
    "Trial",
    "apply_recipe",
    "check_finite",
    "choose_mean",
    "compress",
    "default_recipe",
    "find_method",
    "load_preset",
    "load_recipe",
    "method",
    "method_names",
    "parse_recipe",
    "parts_of",
    "preset_names",
    "recipe_of",
    "resolve_recipe",
    "rewrite",
    "search",
    "sensitivity",
]


class _Callable(ModuleType):
    # Importing the package sets the attribute `cmodel.compress`, where programs expect a function.
    __call__ = staticmethod(compress)


sys.modules[__name__].__class__ = _Callable
