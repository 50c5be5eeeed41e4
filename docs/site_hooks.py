"""What mkdocs.yml cannot say: pages from outside docs/, the list of decisions, links between them.

Pages stay plain Markdown whose links work where the repository is browsed. On the site, a link to a
file that is a page leads to that page; one to anything else of the repository becomes its path.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from logging import getLogger
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = getLogger("mkdocs.hooks.cmodel")
ROOT = Path(__file__).resolve().parent.parent
# Files outside docs/, and the pages that they become.
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "spec/cmodel-format.md": "spec/cmodel-format.md",
    "spec/CHANGES.md": "spec/changes.md",
}
DECISIONS = "docs/adr"
DECISIONS_PAGE = "adr/index.md"
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
CODE_IN_TABLE = re.compile(r"`[^`\n]*\\\|[^`\n]*`")
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make anchors as GitHub does, and fill the decisions in."""
    config.mdx_configs["toc"]["slugify"] = github_anchor
    decisions = [f"adr/{path.name}" for path in _decisions()]
    for entry in config.nav or []:
        if isinstance(entry, dict) and entry.get("Decisions") == "adr/":
            entry["Decisions"] = [DECISIONS_PAGE, *decisions]
    return config


def github_anchor(heading: str, separator: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/ and the list of decisions."""
    for path, page in OUTSIDE.items():
        text = (ROOT / path).read_text("utf-8")
        files.append(File.generated(config, page, content=text))
    titles = [path.read_text("utf-8").partition("\n")[0].lstrip("# ") for path in _decisions()]
    rows = [
        f"- [{title.partition('. ')[2]}]({path.name})"
        for path, title in zip(_decisions(), titles, strict=True)
    ]
    text = "\n".join(
        ["# Decisions", "", "What others must live with, and why it is so.", "", *rows, ""]
    )
    files.append(File.generated(config, DECISIONS_PAGE, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page to where they go on the site."""
    uri = page.file.src_uri
    origin = next((path for path, to in OUTSIDE.items() if to == uri), f"docs/{uri}")

    def lead(match: re.Match[str]) -> str:
        text, target = match["text"], match["target"]
        path, _, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        found = _page_of(place, files)
        if found is not None:
            link = posixpath.relpath(found, posixpath.dirname(uri) or ".")
            return f"[{text}]({link}{'#' + anchor if anchor else ''})"
        if not (ROOT / place).exists():
            log.warning("%s links to %s, which does not exist", origin, target)
        return f"{text} (`{place}`)"

    def adapt(part: str) -> str:
        # GitHub wants a | in code of a table escaped, Python-Markdown shows the escape.
        return CODE_IN_TABLE.sub(lambda match: match[0].replace("\\|", "|"), LINK.sub(lead, part))

    # Every other part is a block of code.
    return "".join(part if n % 2 else adapt(part) for n, part in enumerate(FENCE.split(markdown)))


def _page_of(place: str, files: Files) -> str | None:
    if place in OUTSIDE:
        return OUTSIDE[place]
    if place == DECISIONS:
        return DECISIONS_PAGE
    inside = place.removeprefix("docs/")
    found = files.get_file_from_path(inside) if inside != place else None
    return None if found is None or found.inclusion.is_excluded() else inside


def _decisions() -> Iterator[Path]:
    yield from sorted((ROOT / DECISIONS).glob("*.md"))
