"""Pages that are generated say what the code says."""

import copy
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cmodel import errors
from cmodel._version import __version__
from cmodel.compress.selectors import WEIGHT_TYPES
from cmodel.net.shapes.registry import RULES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _module(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator():
    return _module("generate_layers")


@pytest.fixture(scope="module")
def study():
    return _module("generate_results")


GENERATED = [
    *(f"reference/{name}.md" for name in ("api", "cli", "errors", "recipes")),
    "man/cmodel.1",
]


@pytest.mark.parametrize("name", GENERATED)
def test_pages_of_the_reference_are_up_to_date(name):
    reference = _module("generate_reference")
    assert (reference.FOLDER / name).read_text(encoding="utf-8") == reference.PAGES[name](), (
        "run `python docs/generate_reference.py`"
    )


def test_the_citation_has_the_version_of_the_package():
    text = (DOCS.parent / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.+)$", text, re.MULTILINE) == [__version__]


def test_the_manual_page_tells_every_exit_status_of_an_error():
    reference = _module("generate_reference")
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    statuses = {kind.exit_code for kind in kinds if issubclass(kind, errors.CmodelError)}
    assert statuses <= set(reference.STATUSES)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_page_is_set_without_warnings():
    page = DOCS / "man" / "cmodel.1"
    command = ["groff", "-man", "-Tutf8", "-ww", "-rHY=0", str(page)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
    text = re.sub(r"\x1b\[\d+m|.\x08", "", done.stdout)
    assert "cmodel pack [DEPLOY] [WEIGHTS] -o OUT [options]" in text
    assert "--max-loss P" in text


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


def test_the_page_of_results_and_its_pictures_are_up_to_date(study):
    rows = study.every_row()
    assert any(rows.values())
    assert study.PAGE.read_text(encoding="utf-8") == study.page(rows), (
        "run `python docs/generate_results.py`"
    )
    drawn = study.pictures(rows)
    assert {path.name for path in study.FOLDER.glob("*.svg")} == set(drawn)
    for name, svg in drawn.items():
        assert (study.FOLDER / name).read_text(encoding="utf-8") == svg, name


def test_every_method_and_every_net_has_its_place_in_the_results(study):
    page = study.PAGE.read_text(encoding="utf-8")
    rows = study.every_row()
    files = {path.stem for path in study.FOLDER.glob("*.jsonl")}
    assert files == {name for name, found in rows.items() if found}
    for name in files & set(study.NETS):
        table = page.partition(f"## {study.NETS[name].title}\n")[2].partition("\n## ")[0]
        for method in study.methods_of(rows[name]):
            assert f"\n| {method} |" in table, (name, method)


def test_the_best_row_of_a_method_is_the_smallest_file_within_a_point(study):
    name = next(name for name in study.NETS if study.every_row()[name])
    row = next(row for row in study.every_row()[name] if row.get("loss", 9) <= 1)

    def like(ratio, loss):
        made = copy.deepcopy(row)
        made |= {"method": "mine", "ratio": ratio, "loss": loss}
        return made

    rows = [like(4.0, 0.1), like(9.0, 1.0), like(12.0, 1.01), like(8.0, -0.2)]
    assert study.best_rows(rows)["mine"]["ratio"] == 9.0
    assert study.best_rows(rows[2:3]) == {"mine": None}
    (text,) = study.failure("mine", rows[2:3], rows[2:3])
    assert text.startswith("none within 1 point (best: 12.0x, loss 1.01")


def test_results_of_methods_that_cannot_run_are_told(study):
    failed = {"method": "mine", "error": {"name": "recipe", "message": "it does not go"}}
    assert study.failure("mine", [failed], [failed]) == ["cannot run, see below"]
    assert study.reason(failed) == ("mine", "it does not go")


def test_random_weights_have_a_table_without_accuracy(study):
    row = {
        "method": "mine",
        "recipe": {"step": [{"method": "cast.half"}, {"method": "quantize.kmeans", "k": 8}]},
        "parameters": 1000,
        "bytes": 500,
        "ratio": 8.0,
        "bits_per_weight": 4.0,
        "compress_seconds": 1.25,
        "peak_memory": 2_500_000_000,
    }
    text = "".join(study.random_section({"vgg16": [row, {"method": "other", "error": {}}]}))
    steps = "`cast.half`, then `quantize.kmeans` k 8"
    assert f"| mine | {steps} | 500 | 8.0x | 4.00 | 1.2 | 2.50 GB |" in text
    assert "CaffeNet" not in text
