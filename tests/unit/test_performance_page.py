"""docs/performance.md says what was measured."""

import importlib.util
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    path = DOCS / "generate_performance.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator):
    figures = json.loads(generator.FIGURES.read_text(encoding="utf-8"))
    first = json.loads(generator.FIRST.read_text(encoding="utf-8"))
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(figures, first), (
        "run `python docs/generate_performance.py`"
    )


def test_every_engine_is_on_it_measured_or_missing(generator):
    cell = {"net": "a", "batch": 4, "threads": 1}
    row = {**cell, "median_ms": 1.234, "cpu_ms": 1.0, "max_error": 2e-6, "rounds": 7}
    ratio = {"best_peer": "mnn", "ratio": 0.5, "interval": [0.4, 0.6], "cpu_ratio": 0.55}
    page = generator.page(
        {
            "machine": {
                "cpu": "C", "architecture": "x86_64", "isa": ["avx2"], "cores": 2, "system": "Linux",
            },
            "versions": {"mnn": "1.2"},
            "rows": [{**row, "engine": "mnn"}, {**row, "engine": "cmodel-exact"}],
            "ratios": [{**cell, "engine": "cmodel-exact", **ratio}],
            "missing": [{**cell, "engine": "ncnn", "reason": "no | such layer"}],
        },
        {"a, 2": {
            "net": "a", "threads": 2, "bytes": 9,
            "engines": {"packed": {"seconds": 0.25, "import": 0.125, "peak": 3.2e8}},
        }},
    )  # fmt: skip
    assert "| a | 4 | 1 | cmodel-exact | mnn | 0.50 | 0.40 to 0.60 | 0.55 |" in page
    assert "## Batch 4, 1 thread\n" in page
    assert "| net | cmodel-exact | mnn |" in page
    assert "| a | 1.23 (2e-06) | 1.23 (2e-06) |" in page
    assert r"| a | 4 | 1 | ncnn | no \| such layer |" in page
    assert "mnn 1.2" in page
    assert "| a | 2 | packed | 0.250 | 0.125 | 320 |" in page
