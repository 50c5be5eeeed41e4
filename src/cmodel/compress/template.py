"""A recipe to start from: the text of a preset, with every option of its methods as a comment."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from typing import Any

from cmodel.compress.describe import Option, options_of, summary_of
from cmodel.compress.recipe import preset_text
from cmodel.compress.registry import find_method

_HEAD = """\
# A recipe of cmodel, from the preset {preset}.
# Each [[step]] names a method; the steps run in order.
# Options that are commented out have the values shown. `cmodel recipe check FILE` checks the file;
# `cmodel recipe schema` prints a JSON Schema for editors.
#
# Which parameters a step works on: select = {{ name = "conv*", type = "Convolution",
# exclude = "fc8", kind = "weights", min_size = 1000 }}. Options of a table
# [step.type.InnerProduct] hold for a layer type, those of [step.name."conv1"] for layers by name.
#
"""
_NAME = re.compile(r"^name = .*$", re.MULTILINE)


def recipe_template(preset: str, name: str) -> str:
    """Return the preset as the text of a recipe `name` that does the same.

    Raises
    ------
    RecipeError : there is no preset of this name.
    """
    text = _NAME.sub(lambda match: f"name = {json.dumps(name)}", preset_text(preset), count=1)
    steps = iter(tomllib.loads(text)["step"])
    blocks = text.split("[[step]]\n")
    return (
        _HEAD.format(preset=preset)
        + blocks[0]
        + "".join(f"[[step]]\n{_with_options(block, next(steps))}" for block in blocks[1:])
    )


def _with_options(block: str, step: dict[str, Any]) -> str:
    """Add the options that the step does not state, at the end of its own table."""
    entry = find_method(step["method"])
    own = re.match(r"(?:[^\n\[][^\n]*\n)+", block)
    if own is None:
        raise AssertionError(f"a step of a preset starts with its keys: {block!r}")
    lines = [_line(option) for option in options_of(entry) if option.name not in step]
    return f"# {summary_of(entry)}\n{own[0]}{''.join(lines)}{block[own.end() :]}"


def _line(option: Option) -> str:
    value = "..." if option.default is None else toml_value(option.default)
    text = textwrap.fill(option.description, 100, initial_indent="#   ", subsequent_indent="#   ")
    return f"# {option.name} = {value}  # {option.values}\n{text}\n"


def toml_value(value: Any) -> str:
    """Return a plain value as TOML writes it; JSON does the same for all that options hold."""
    return json.dumps(value, ensure_ascii=False)
