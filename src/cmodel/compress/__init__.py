"""Compression: methods, recipes of methods, and the pipeline that runs them."""

from cmodel.compress.pipeline import Progress, check_finite, compress_net
from cmodel.compress.recipe import Recipe, load_preset, load_recipe, parse_recipe, preset_names
from cmodel.compress.registry import MODULES, Method, Outcome, Task, find_method, method

__all__ = [
    "MODULES",
    "Method",
    "Outcome",
    "Progress",
    "Recipe",
    "Task",
    "check_finite",
    "compress_net",
    "find_method",
    "load_preset",
    "load_recipe",
    "method",
    "parse_recipe",
    "preset_names",
]
