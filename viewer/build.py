"""Puts the viewer's page together: build.py [--check].

The modules under viewer/src and the reader of spec/readers/js, the style and the page become one
HTML file, src/cmodel/view/viewer.html, which is committed. Each module is wrapped in a function of
its own; only the plain forms of `import` and `export` that these modules use are understood, and
anything else is an error. `--check` compares instead of writing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUTPUT = ROOT / "src" / "cmodel" / "view" / "viewer.html"
ENTRY = HERE / "src" / "main.mjs"
MOST_BYTES = 200_000

sys.path.insert(0, str(ROOT / "src"))

_IMPORT = re.compile(r'^import (\* as \w+|\{[^}]*\}) from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_QUOTED = re.compile(r"[\"'`/]")
_SPACED = re.compile(r" ?([=,;:?{}()&|]) ?")


def collect(path: Path, done: dict[Path, str]) -> None:
    """Add a module, after those that it imports, as a constant that holds its exports."""
    if path in done:
        return
    text = path.read_text("utf-8")
    for _, source in _IMPORT.findall(text):
        collect((path.parent / source).resolve(), done)

    def imported(match: re.Match[str]) -> str:
        names, source = match.groups()
        module = name_of((path.parent / source).resolve())
        if names.startswith("*"):
            return f"const {names.removeprefix('* as ')} = {module};\n"
        return f"const {names.replace(' as ', ': ')} = {module};\n"

    exports = [
        *dict.fromkeys(re.findall(r"^export .*?(?:function\*?|class|const) (\w+)", text, re.M))
    ]
    body = _EXPORT.sub("", _IMPORT.sub(imported, text))
    left = re.search(r"^\s*(import|export)\b.*", body, re.MULTILINE)
    if left:
        raise SystemExit(f"{path}: `{left[0].strip()}` is not understood by {Path(__file__).name}")
    done[path] = (
        f"const {name_of(path)} = (() => {{\n{slim(body)}"
        f"return {{ {', '.join(exports)} }};\n}})();\n"
    )


def slim(text: str) -> str:
    """Return a module without indentation, blank lines, whole lines of comment, and some spaces.

    Spaces go only in lines without quotes and slashes. A text in backticks over several lines has
    to do without lines that begin like comments or with spaces, and without ` = ` and the like.
    """
    kept = []
    comment = False
    for line in map(str.strip, text.split("\n")):
        comment = comment or line.startswith("/*")
        if line and not comment and not line.startswith("//"):
            kept.append(line if _QUOTED.search(line) else _SPACED.sub(r"\1", line))
        comment = comment and not line.endswith("*/")
    return "\n".join(kept) + "\n"


def name_of(path: Path) -> str:
    """Return the name of the constant that holds a module's exports."""
    return "$" + re.sub(r"\W", "_", path.relative_to(ROOT).with_suffix("").as_posix())


def digest(text: str) -> str:
    """Return what a Content-Security-Policy knows an inline script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def style() -> str:
    """Return the style: the colours are those of the reports."""
    from cmodel.report.palette import variables

    return (
        f":root{{color-scheme:light dark;{variables(False)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(True)}}}}}\n"
        + (HERE / "style.css").read_text("utf-8")
    )


def build() -> str:
    """Return the page."""
    modules: dict[Path, str] = {}
    collect(ENTRY, modules)
    code = '"use strict";\n' + "".join(modules.values())
    for unsafe in ("</script", "<!--", "<script"):
        if unsafe in code.lower():
            raise SystemExit(f"the code holds `{unsafe}`, which would end it in a page")
    css = style()
    # Nothing is loaded and nothing is sent, whatever a file is called or says.
    policy = (
        f"default-src 'none'; script-src {digest(code)}; style-src {digest(css)}; "
        "img-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    page = (HERE / "page.html").read_text("utf-8")
    for mark, value in (("@POLICY@", policy), ("@STYLE@", css), ("@CODE@", code)):
        if page.count(mark) != 1:
            raise SystemExit(f"page.html has to hold {mark} once")
        head, _, tail = page.partition(mark)
        page = head + value + tail
    size = len(page.encode())
    if size > MOST_BYTES:
        raise SystemExit(f"the page has {size} bytes, {MOST_BYTES} are allowed")
    return page


def main() -> None:
    """Write the page, or compare it with the one that is there."""
    page = build()
    if sys.argv[1:] == ["--check"]:
        if not OUTPUT.exists() or OUTPUT.read_text("utf-8") != page:
            raise SystemExit(f"{OUTPUT} is not what {Path(__file__).name} makes: run it")
        return
    OUTPUT.write_text(page, "utf-8")
    print(f"{OUTPUT}: {len(page.encode())} bytes")


if __name__ == "__main__":
    main()
