"""HTML and SVG as trees of tags. Every text is escaped: names come from untrusted files."""

from __future__ import annotations

import html
import re

# Not allowed in XML, or able to reorder the text around them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


class Markup(str):
    """Text that is markup already and goes out as it is."""

    __slots__ = ()


Content = str | int | float | None


def escape(text: object) -> Markup:
    """Return any text as markup that shows it, also within quotes."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNPRINTABLE.sub("\ufffd", str(text)), quote=True))


def tag(name: str, /, *content: Content, **attributes: Content) -> Markup:
    """Return an element.

    content : text, which is escaped, or Markup; None is left out.
    attributes : `class_` is "class", `stroke_width` is "stroke-width"; None is left out, numbers
        are written with two decimals at most.
    """
    stated = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(*content)
    if name in _VOID:
        return Markup(f"<{name}{stated}>")
    if not inner and name in _EMPTY:
        return Markup(f"<{name}{stated}/>")
    return Markup(f"<{name}{stated}>{inner}</{name}>")


def join(*content: Content) -> Markup:
    """Return contents one after the other."""
    return Markup("".join(escape(part) for part in content if part is not None))


def shorten(text: str, length: int) -> str:
    """Return a text of at most `length` characters: of a longer one both ends."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[head + 1 - length :]}"


_VOID = frozenset({"meta", "img", "br", "hr"})
_EMPTY = frozenset({"rect", "line", "path", "circle", "image"})


def _value(value: Content) -> str:
    if isinstance(value, float):
        # -0.00 is 0.
        return f"{value + 0.0:.2f}".rstrip("0").rstrip(".").replace("-0.", "-0.") or "0"
    return escape(value)
