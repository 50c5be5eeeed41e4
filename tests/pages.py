"""Pages of the documentation whose commands and programs are run.

In a page, blocks of `console` are run line by line, blocks with a title are files, and blocks of `sh`
are commands that take too long to be run: they are only parsed.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([\w./-]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file that it is (or none), its text."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    return [Block(*found) for found in BLOCK.findall(page.read_text("utf-8"))]


def lines(page: Path, language: str) -> list[str]:
    """All lines of the blocks of a language."""
    return [
        line
        for block in blocks(page)
        if block.language == language
        for line in block.text.splitlines()
    ]


def programs(page: Path, language: str) -> list[str]:
    """The blocks of a language that are no files."""
    return [block.text for block in blocks(page) if block.language == language and not block.title]


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks that are files."""
    for block in blocks(page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")


def copy_example(folder: Path) -> Path:
    """Copy the bundled example to where it lies in a repository; return the copy."""
    copy = folder / "examples" / "lenet-fashion"
    shutil.copytree(ROOT / "examples" / "lenet-fashion", copy)
    (folder / "spec").symlink_to(ROOT / "spec")
    return copy
