"""What the options of the methods are, read from their dataclasses.

Names, types and defaults are those of the fields, descriptions those of the docstring (lines
``name : text``), ranges and choices those that `__post_init__` checks.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cmodel.compress.options import Rule, recorded
from cmodel.compress.registry import Method, Rewrite, find_method

_FIELD = re.compile(r"^(\w+(?:, \w+)*) : (.*)$")
_SAME = re.compile(r"^as for `([\w.]+)`")
# Any value of the type: it only has to lead to the check.
_PROBES: dict[type, Any] = {int: 1, float: 0.5, str: "", bool: True}


@dataclass(frozen=True)
class Option:
    """One option of a method.

    types : of its values: int, float, bool, str.
    words : the strings that it may be; none where any may.
    default : None where the option is left out by default.
    rule : the range of a number, where one is checked.
    """

    name: str
    types: tuple[type, ...]
    words: tuple[str, ...]
    default: Any
    rule: Rule
    description: str

    @property
    def values(self) -> str:
        """What it may be, in words."""
        parts = []
        for kind in self.types:
            if kind is bool:
                parts.append("true, false")
            elif kind is str:
                parts.append(", ".join(f'"{word}"' for word in self.words) or "a string")
            else:
                parts.append(("an integer" if kind is int else "a number") + self._range())
        return " or ".join(parts)

    def _range(self) -> str:
        rule = self.rule
        low = "" if rule.low is None else f" from {rule.low:,.10g}"
        above = "" if rule.above is None else f" above {rule.above:,.10g}"
        high = "" if rule.high is None else f" to {rule.high:,.10g}"
        return (above + high.replace(" to ", ", at most ")) if above else low + high


def summary_of(entry: Method | Rewrite) -> str:
    """Return what a method does in one sentence: the start of its module's docstring."""
    text = inspect.getdoc(sys.modules[entry.run.__module__]) or ""
    return " ".join(text.split("\n\n", 1)[0].split())


def options_of(entry: Method | Rewrite) -> tuple[Option, ...]:
    """Return the options of a method, in the order of its dataclass."""
    hints = get_type_hints(entry.options)
    texts = dict(_descriptions(entry))
    return tuple(
        _option(entry.options, f, hints[f.name], texts.get(f.name, ""))
        for f in dataclasses.fields(entry.options)
    )


def _option(owner: type[Any], f: dataclasses.Field[Any], hint: Any, text: str) -> Option:
    default = None if f.default is dataclasses.MISSING else f.default
    kinds: list[type] = []
    words: list[str] = []
    for part in get_args(hint) if get_origin(hint) in (types.UnionType, Union) else (hint,):
        if get_origin(part) is Literal:
            kinds.append(str)
            words += get_args(part)
        elif part is not type(None):
            kinds.append(get_origin(part) or part)
    rule = _rule(owner, f.name, _PROBES[kinds[0]])
    return Option(f.name, tuple(kinds), (*words, *rule.choices), default, rule, text)


def _rule(owner: type[Any], name: str, probe: Any) -> Rule:
    """Return what the dataclass checks about one of its fields."""
    with recorded() as rules, suppress(ValueError):
        owner(**{name: probe})
    return next((rule for rule in rules if rule.name == name), Rule(name))


def _descriptions(entry: Method | Rewrite) -> Iterator[tuple[str, str]]:
    """Yield the options' names and what the docstring says about each."""
    names: list[str] = []
    lines: list[str] = []
    # Options that several steps have in common are described where they are declared.
    docs = [inspect.cleandoc(c.__doc__ or "") for c in entry.options.__mro__ if c is not object]
    for line in [line for doc in docs for line in (*doc.splitlines(), "")]:
        match = _FIELD.match(line)
        if names and (match or not line.strip()):
            yield from _described(names, " ".join(lines))
            names = []
        if match:
            names, lines = match[1].split(", "), [match[2]]
        elif names:
            lines.append(line.strip())


def _described(names: list[str], text: str) -> Iterator[tuple[str, str]]:
    same = _SAME.match(text)
    others = dict(_descriptions(find_method(same[1]))) if same else {}
    for name in names:
        yield name, others.get(name, text)
