"""Pages that are generated say what the code says."""

import importlib.util
from pathlib import Path

import pytest

from cmodel.compress.selectors import WEIGHT_TYPES
from cmodel.net.shapes.registry import RULES

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_layers", DOCS / "generate_layers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_layers_is_up_to_date(generator):
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), (
        "run `python docs/generate_layers.py`"
    )


def test_its_tables_name_types_that_exist(generator):
    for table in (generator.PARAMETERS, generator.NOTES, generator.ORIGINS):
        for name in table:
            assert f"| `{name}` |" in generator.page(), name
    assert set(generator.PARAMETERS) <= set(RULES)
    assert WEIGHT_TYPES & set(RULES) <= set(generator.PARAMETERS)
