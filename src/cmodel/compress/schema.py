"""A JSON Schema of recipe files, for editors: completion, descriptions, mistakes underlined.

It is made of the registry, so it knows every method and option. It holds each value by itself;
which options exclude each other, and what a net has to select, only `cmodel recipe check` tells.
"""

from __future__ import annotations

from typing import Any

from cmodel.compress.describe import Option, options_of, summary_of
from cmodel.compress.registry import Method, Rewrite, find_method, method_names
from cmodel.compress.selectors import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
_TYPES: dict[type, str] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    list: "array",
}


def recipe_schema() -> Schema:
    """Return the schema (draft 2020-12) of recipe files as plain JSON data."""
    entries = [find_method(name) for name in method_names()]
    definitions: Schema = {"select": _select(), "step": _step(entries)}
    for entry in entries:
        definitions[entry.name] = _method(entry)
        definitions[_options_name(entry)] = {
            "type": "object",
            "description": f"Options of {entry.name} that beat those of the step.",
            "properties": {option.name: _option(option) for option in options_of(entry)},
            "additionalProperties": False,
        }
    return {
        "$schema": DIALECT,
        "title": "cmodel recipe",
        "description": "An ordered list of steps that compress a network.",
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "The recipe's name; else the file's."},
            "step": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
        },
        "required": ["step"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _options_name(entry: Method | Rewrite) -> str:
    return f"{entry.name} options"


def _step(entries: list[Method | Rewrite]) -> Schema:
    return {
        "type": "object",
        "properties": {
            "method": {
                "description": "What the step does.",
                "enum": [entry.name for entry in entries],
            }
        },
        "required": ["method"],
        "allOf": [
            {
                "if": {"properties": {"method": {"const": entry.name}}, "required": ["method"]},
                "then": {"$ref": f"#/$defs/{entry.name}"},
            }
            for entry in entries
        ],
    }


def _method(entry: Method | Rewrite) -> Schema:
    options = f"#/$defs/{_options_name(entry).replace(' ', '%20')}"
    overrides = {"type": "object", "additionalProperties": {"$ref": options}}
    return {
        "description": summary_of(entry),
        "properties": {
            "method": {"const": entry.name, "description": summary_of(entry)},
            "select": {"$ref": "#/$defs/select"},
            "optional": {
                "type": "boolean",
                "default": False,
                "description": "Whether it is no error if the step selects nothing.",
            },
            "type": {**overrides, "description": "Options by layer type."},
            "name": {
                **overrides,
                "description": "Options by layer name (globs); they beat those by type.",
            },
            **{
                option.name: {"$ref": f"{options}/properties/{option.name}"}
                for option in options_of(entry)
            },
        },
        "additionalProperties": False,
    }


def _option(option: Option) -> Schema:
    every = [_value(option, kind) for kind in option.types]
    schema = every[0] if len(every) == 1 else {"anyOf": every}
    if option.default is not None:
        schema["default"] = option.default
    return {**schema, "description": option.description}


def _value(option: Option, kind: type) -> Schema:
    schema: Schema = {"type": _TYPES[kind]}
    if kind is str and option.words:
        schema["enum"] = list(option.words)
    if kind in (int, float):
        limits = {
            "minimum": option.rule.low,
            "exclusiveMinimum": option.rule.above,
            "maximum": option.rule.high,
        }
        schema |= {key: value for key, value in limits.items() if value is not None}
    return schema


def _select() -> Schema:
    names = {
        "oneOf": [
            {"type": "string"},
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
        ]
    }
    return {
        "type": "object",
        "description": "Which parameters; without it the weights of all layers that have any.",
        "properties": {
            "name": {**names, "description": "Layers by name; globs."},
            "type": {**names, "description": "Layers by type."},
            "exclude": {**names, "description": "Takes layers out again by name; globs."},
            "kind": {
                "enum": list(KINDS),
                "default": "weights",
                "description": "Weights, biases (everything else) or all.",
            },
            "min_size": {
                "type": "integer",
                "minimum": 1,
                "default": 1,
                "description": "Parameters of at least so many elements.",
            },
        },
        "additionalProperties": False,
    }
