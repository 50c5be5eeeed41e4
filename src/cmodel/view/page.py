"""The viewer's page, as viewer/build.py put it together."""

from __future__ import annotations

from html import escape
from importlib import resources

_POLICY = "default-src 'none';"
_HEAD = '<meta charset="utf-8">'


def page() -> str:
    """Return the page that asks for a file; it works from a disk and has no way to the network."""
    return (resources.files("cmodel.view") / "viewer.html").read_text("utf-8")


def page_for(name: str) -> str:
    """Return the page that fetches the file `model` beside its own address, and calls it `name`.

    Its policy allows connections to where it came from, and nowhere else.
    """
    text = page()
    if text.count(_POLICY) != 1 or text.count(_HEAD) != 1:
        raise AssertionError("viewer.html is not what viewer/build.py makes")
    text = text.replace(_POLICY, f"{_POLICY} connect-src 'self';")
    # A name that is not UTF-8 has surrogates, which no page can hold.
    shown = name.encode("utf-8", "replace").decode("utf-8")
    return text.replace(_HEAD, f'{_HEAD}\n<meta name="cmodel-file" content="{escape(shown)}">')
