"""docs/concepts/rdo.md says what each part was measured to gain."""

import importlib.util
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    path = DOCS / "generate_ablation.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_up_to_date(generator):
    text = generator.PAGE.read_text("utf-8")
    figures = json.loads(generator.FIGURES.read_text("utf-8"))
    assert text == generator.page(text, figures), "run `python docs/generate_ablation.py`"


def test_savings_are_against_the_first_row_of_each_net(generator):
    rows = [{"variant": "first", "bytes": 2000.0}, {"variant": "second", "bytes": 1500.4}]
    more = [*rows, {"variant": "third", "bytes": None}]
    nets = {"a": {"kl": 0.01, "rows": rows}, "b": {"kl": 0.5, "rows": more}}
    lines = generator.table({"nets": nets}).splitlines()
    assert lines[0] == "| variant | a at 0.01 | saved | b at 0.5 | saved |"
    assert lines[3] == "| second | 1,500 | 25.0 % | 1,500 | 25.0 % |"
    assert lines[4] == "| third | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} |"
