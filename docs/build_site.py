"""Builds the site of the documentation: build/site/index.html.

    python docs/build_site.py

MkDocs and its theme are installed into build/docs-env, at the versions of the extra `docs` in
pyproject.toml. Links and anchors that lead nowhere fail, as does a page that would fetch anything
from another host. Exit code 77: MkDocs cannot be installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "build" / "docs-env"
SITE = ROOT / "build" / "site"
CANNOT_INSTALL = 77
# What a browser fetches by itself, unlike the target of a link.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|(?:url\(|@import\s)\s*["']?((?:https?:)?//[^"')\s]+)""",
    re.IGNORECASE,
)


def environment() -> Path | None:
    """Return the Python that has what pyproject.toml asks for, or None if it cannot be had."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["optional-dependencies"]["docs"]
    stamp = ENVIRONMENT / "installed"
    python = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if stamp.is_file() and stamp.read_text("utf-8") == "\n".join(wanted):
        return python
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.run([*pip, *wanted], check=False).returncode:
        return None
    stamp.write_text("\n".join(wanted), "utf-8")
    return python


def fetched(folder: Path) -> Iterator[str]:
    """Yield what the pages and styles of a site would fetch from elsewhere."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".css"):
            for match in FETCHED.finditer(path.read_text("utf-8")):
                yield f"{path.relative_to(folder)} fetches {match[1] or match[2]}"


def main() -> int:
    """Install, build, check."""
    python = environment()
    if python is None:
        print("MkDocs cannot be installed", file=sys.stderr)
        return CANNOT_INSTALL
    command = [python, "-m", "mkdocs", "build", "--strict", "--clean"]
    # The theme advertises its successor on every run.
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=quiet, text=True, stderr=subprocess.PIPE, check=False
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return done.returncode
    problems = list(fetched(SITE))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{sum(1 for _ in SITE.rglob('*.html'))} pages: {SITE / 'index.html'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
