"""The page of a sweep, its facts and its SVG."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from cmodel.errors import InputError, UsageError
from cmodel.report import rate_accuracy_svg, read_sweep, sweep_facts, sweep_page

EVIL = "<script>alert(1)</script>\"'&\u202e\x01\ud800"


def row(ratio: float, loss: float | None, method: str = "quantize.kmeans", **fields):
    return {
        "schema": "cmodel.sweep/1",
        "net": "lenet",
        "trained": True,
        "method": method,
        "label": f"{method} {ratio}",
        "bytes": int(1e6 / ratio),
        "ratio": ratio,
        "loss": loss,
        "kl": None if loss is None else abs(loss) / 10,
        "baseline_top1": 99.0,
        "images": 100,
        **fields,
    }


def write(path, rows):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    return path


def test_the_front_is_what_no_smaller_file_beats():
    rows = [row(4, 0.0), row(8, 0.5), row(6, 0.7), row(16, 3.0), row(15, 3.0)]
    net = sweep_facts(rows)["nets"][0]
    assert [p["ratio"] for p in net["points"] if p["front"]] == [4, 8, 16]


def test_the_table_has_the_best_ratio_within_one_point_of_each_method():
    rows = [row(4, 0.0), row(8, 1.0), row(9, 1.01), row(20, 0.2, "prune.magnitude")]
    best = sweep_facts(rows)["nets"][0]["best"]
    assert [(p["method"], p["ratio"]) for p in best] == [
        ("prune.magnitude", 20),
        ("quantize.kmeans", 8),
    ]


def test_random_weights_are_not_judged_by_accuracy():
    net = sweep_facts([row(4, 0.1, trained=False), row(8, 0.2, trained=False)])["nets"][0]
    assert (net["measure"], net["best"]) == ("kl", [])
    page = sweep_page(sweep_facts([row(4, 0.1, trained=False)]))
    assert "random weights" in page
    assert "99.00 %" not in page


def test_missing_and_odd_fields_leave_the_picture_out_and_say_so(tmp_path):
    rows = [
        {"schema": "cmodel.sweep/1", "net": "bare"},
        row(4, None, net="odd") | {"loss": "much", "ratio": float("nan"), "bytes": 10**400},
    ]
    facts = read_sweep(write(tmp_path / "r.jsonl", rows))
    assert [net["measure"] for net in facts["nets"]] == [None, None]
    assert facts["nets"][1]["points"][0]["bytes"] is None
    assert sweep_page(facts).count("No picture:") == 2


def test_lines_that_are_no_rows_are_named(tmp_path):
    path = tmp_path / "r.jsonl"
    good = json.dumps(row(4, 0.0))
    path.write_text(f'{good}\nnonsense\n{{"schema": "other/1"}}\n[1]\n\n{good[:40]}')
    facts = read_sweep(path)
    assert [entry["line"] for entry in facts["skipped"]] == [2, 3, 4, 6]
    assert "4 lines of the file are no rows" in sweep_page(facts)


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"schema": "cmodel.sweep/1"}', "[" * 9999])
def test_a_file_without_a_row_is_refused(tmp_path, text):
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="no line that is a row"):
        read_sweep(path)


def test_errors_of_settings_are_listed():
    rows = [row(4, 0.0), row(8, None, error={"name": "recipe", "message": "k is too large"})]
    facts = sweep_facts(rows)
    assert facts["nets"][0]["errors"][0]["error"] == "k is too large"
    assert "k is too large" in sweep_page(facts)


def test_every_text_is_escaped():
    rows = [
        row(4, 0.0, EVIL, net=EVIL, label=EVIL, weights_sha256=EVIL, versions={EVIL: EVIL}),
        row(8, 0.0, EVIL, net=EVIL, weights_sha256=EVIL, error=EVIL),
    ]
    page = sweep_page(sweep_facts(rows))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    page.encode()
    for unwanted in "\u202e\x01":
        assert unwanted not in page


def test_the_svg_is_a_file_of_its_own():
    rows = [row(4, 0.0, interval=[-0.1, 0.1]), row(8, 0.5, EVIL), row(9, 2.0), row(5, 0.1, net="x")]
    svg = rate_accuracy_svg(rows, "lenet")
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    dots = [e for e in root.iter() if "dot" in e.get("class", "") and len(e)]
    assert len(dots) == 3
    with pytest.raises(UsageError, match="no net `resnet`"):
        rate_accuracy_svg(rows, "resnet")
    with pytest.raises(UsageError, match="no row of"):
        rate_accuracy_svg([row(4, None)], "lenet")


def test_thousands_of_settings_stay_small():
    rows = [
        row(2 + i % 97 / 3, i % 50 / 10, f"method.{i % 60}", label=f"setting {i}")
        for i in range(6000)
    ]
    facts = sweep_facts(rows)
    page = sweep_page(facts)
    assert len(page.encode()) < 2_000_000
    assert "2000 of 6000 settings are drawn" in page
