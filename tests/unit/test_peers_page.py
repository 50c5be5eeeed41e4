"""docs/results-peers.md says what was measured."""

import importlib.util
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    path = DOCS / "generate_peers.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator):
    figures, nncodec = (
        json.loads(path.read_text("utf-8")) for path in (generator.FIGURES, generator.NNCODEC)
    )
    assert generator.PAGE.read_text("utf-8") == generator.page(figures, nncodec), (
        "run `python docs/generate_peers.py`"
    )


def row(peer, kl, size):
    return {
        "net": "a", "peer": peer, "kl": kl, "tensor_bytes": size, "bytes": size + 9, "top1": 9.5,
        "images": 1000,
    }  # fmt: skip


def test_savings_are_by_tensor_bytes_at_our_kl(generator):
    rows = [
        row("nncodec", 0.1, 1000), row("k-means", 0.01, 4000), row("k-means", 1.0, 1000),
        row("ours", 0.1, 750),
    ]  # fmt: skip
    figures = {"command": "make it", "versions": {}, "top1": {"a": 10.0}, "rows": rows}
    nncodec = {"versions": {"nncodec": "2"}, "rows": [*rows, {"net": "b"}]}
    page = generator.page(figures, nncodec)
    assert "| a | 9.50, 9.50 | 0.1, 0.1 | 1,000 | 750 | 759 | 25.0 % | 2,000 | 62.5 % |" in page
    assert "- a: 10.00 % before, on 1,000 images." in page
    assert "not measured yet on b." in page
    # The finest k-means does not reach a smaller KL, so that it would need more bytes.
    rows[-1]["kl"] = 0.001
    assert "| at least 4,000 | 81.2 % |" in generator.page(figures, nncodec)
    rows[-1]["kl"] = 2.0
    assert "| \N{EN DASH} | \N{EN DASH} |" in generator.page(figures, nncodec)
