"""Relative links of all pages lead somewhere, also without the site; the site has every page."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
OUTSIDE = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]


def pages():
    """What is read as it stands; parts that a generator puts into other pages are not."""
    folders = [ROOT / "spec", ROOT / "examples", ROOT / ".github"]
    found = [path for folder in folders for path in folder.rglob("*.md")]
    docs = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "results"]
    return sorted([*found, *docs, *(ROOT / name for name in OUTSIDE)])


def anchors(text):
    """Anchors of a page as GitHub makes them: the second of equal headings gets -1."""
    seen = {}
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        seen[anchor] = seen.get(anchor, -1) + 1
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor


def broken(path):
    """Links of a page that lead nowhere."""
    for target in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        to = (path.parent / place).resolve() if place else path
        if not to.exists() or (anchor and anchor not in anchors(to.read_text("utf-8"))):
            yield target


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(path):
    assert list(broken(path)) == []


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# One. Two ◆\n\n# Same\n\n# Same\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md#one-two-) [b](other.md#same-1) [c](#here) [d](https://x.org/#y)\n"
        "[e](none.md) [f](other.md#same-2) ![g](no.png) [h](#there)\n```\n[i](code.md)\n```\n"
    )
    assert list(broken(page)) == ["none.md", "other.md#same-2", "no.png", "#there"]


def test_the_site_has_every_page_of_the_documentation():
    # The configuration is simple enough to be read by lines.
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    named = set(re.findall(r"[\w./-]+\.md", nav))
    inside = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    inside = {name for name in inside if not name.startswith(("adr/", "results/"))}
    assert inside <= named
    source = (ROOT / "docs" / "site_hooks.py").read_text("utf-8")
    outside = dict(re.findall(r'^    "([\w./-]+\.md)": "([\w./-]+\.md)",$', source, re.MULTILINE))
    assert named - inside == set(outside.values())
    assert all((ROOT / name).is_file() for name in outside)


def test_decisions_have_numbers_of_their_own():
    names = sorted(path.name for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert len({name[:4] for name in names}) == len(names) > 0
    for name in names:
        title = (ROOT / "docs" / "adr" / name).read_text("utf-8").partition("\n")[0]
        assert title.startswith(f"# {int(name[:4])}. "), name


def test_what_a_page_would_fetch_from_elsewhere_is_found(tmp_path):
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "page.html").write_text(
        '<a href="https://fine.org/x">x</a><script src="js/own.js"></script>'
        '<link rel="stylesheet" href="https://fonts.org/a.css"><img alt="" src="//img.org/b.png">'
    )
    (tmp_path / "style.css").write_text("a{background:url(own.png)}@import 'https://c.org/c.css';")
    assert list(module.fetched(tmp_path)) == [
        "page.html fetches https://fonts.org/a.css",
        "page.html fetches //img.org/b.png",
        "style.css fetches https://c.org/c.css",
    ]
