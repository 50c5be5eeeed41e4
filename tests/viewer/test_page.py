"""The viewer's page: it is what its build makes, stays small, and asks for nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cmodel.view import page, page_for

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "viewer" / "build.py"


def test_the_committed_page_is_what_the_build_makes():
    done = subprocess.run(
        [sys.executable, str(BUILD), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_page_is_small():
    assert len(page().encode()) <= 200_000


def test_the_page_names_no_address_but_that_of_svg():
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`]*", page()))
    assert addresses == {"http://www.w3.org/2000/svg"}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page())[1]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "connect-src" not in policy


@pytest.mark.parametrize(
    "way", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
)
def test_no_text_becomes_markup_or_code(way):
    assert way not in page()


def test_a_name_goes_in_as_text():
    text = page_for('"><script>alert(1)</script>\udcff')
    assert "<script>alert" not in text
    assert 'content="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;?"' in text
    assert "default-src 'none'; connect-src 'self';" in text
