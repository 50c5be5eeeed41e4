"""`cmodel report` as a user and as a script meet it."""

from __future__ import annotations

import json

import pytest

ROW = {"schema": "cmodel.sweep/1", "net": "n", "method": "m", "ratio": 4.0, "loss": 0.5}


@pytest.fixture
def packed(run, model, tmp_path):
    """A packed file, and what `pack --json` printed of it."""
    out = tmp_path / "x.cmodel"
    arguments = ("--json", "--preset", "linear8", "--data", model.data)
    result = run("pack", model.prototxt, model.weights, "-o", out, *arguments)
    (tmp_path / "pack.json").write_text(result.out)
    return out


def test_a_container_with_its_original_and_data(run, model, packed, tmp_path):
    page = tmp_path / "x.html"
    result = run("report", packed, "--original", model.prototxt, model.weights, "--data",
                 model.data, "-o", page, "--json")  # fmt: skip
    assert result.status == 0
    facts = result.json
    assert (facts["schema"], facts["kind"]) == ("cmodel.report/1", "container")
    assert facts["bytes"] == packed.stat().st_size
    assert facts["page_bytes"] == page.stat().st_size
    accuracy = json.loads((tmp_path / "pack.json").read_text())
    for name in ("top1", "top5"):
        assert facts["accuracy"][name] == accuracy[f"{name}_after"]
        assert facts["accuracy"][f"{name}_before"] == accuracy[f"{name}_before"]
    assert facts["outputs"]["images"] == 16
    assert model.data.name in facts["outputs"]["source"]
    text = page.read_text()
    assert f"{accuracy['top1_after']:.2f} %" in text
    assert facts["sha256"] in text


def test_without_data_outputs_are_compared_on_random_inputs_and_it_says_so(
    run, model, packed, tmp_path
):
    page = tmp_path / "x.html"
    result = run("report", packed, "--original", model.prototxt, model.weights, "-o", page)
    assert result.status == 0
    assert "random inputs, normally distributed, seed 0" in page.read_text()
    assert "Accuracy was not measured" in page.read_text()
    alone = run("report", packed, "--json").json
    assert (alone["outputs"], alone["accuracy"], alone["output"]) == (None, None, None)


def test_figures_of_pack_and_eval_are_taken(run, model, packed, tmp_path):
    of_pack = run("report", packed, "--figures", tmp_path / "pack.json", "--json").json["accuracy"]
    assert of_pack["top1_before"] is not None
    (tmp_path / "eval.json").write_text(run("eval", packed, "--data", model.data, "--json").out)
    of_eval = run("report", packed, "--figures", tmp_path / "eval.json", "--json").json["accuracy"]
    assert (of_eval["top1"], of_eval["images"]) == (of_pack["top1"], 60)
    other = json.loads((tmp_path / "pack.json").read_text()) | {"bytes_after": 7}
    (tmp_path / "pack.json").write_text(json.dumps(other))
    result = run("report", packed, "--figures", tmp_path / "pack.json", "--json")
    assert "a file of 7 bytes" in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "it is not JSON"),
        ("[" * 5000, "it is not JSON"),
        ("[]", "no JSON document of"),
        ('{"schema": "cmodel.pack/1"}', "it tells no accuracy"),
    ],
)
def test_figures_that_are_none(run, packed, tmp_path, text, message):
    (tmp_path / "f.json").write_text(text)
    result = run("report", packed, "--figures", tmp_path / "f.json", "--json")
    assert result.status == 3
    assert message in result.err


def test_a_sweep(run, tmp_path):
    rows = tmp_path / "r.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    page = tmp_path / "r.html"
    assert run("report", rows, "-o", page).status == 0
    assert "<svg" in page.read_text()
    again = run("report", rows, "-o", page)
    assert again.status == 2
    assert "exists already" in again.err
    assert run("report", rows, "-o", page, "-f", "--json").json["kind"] == "sweep"


def test_wrong_calls(run, model, packed, tmp_path):
    rows = tmp_path / "r.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    assert run("report", packed).status == 2
    assert "is no .cmodel" in run("report", rows, "--data", model.data, "--json").err
    assert run("report", packed, "--original", 1, 2, 3, "--json").status == 2
    assert run("report", tmp_path / "missing", "--json").status == 3
    assert run("report", model.prototxt, "--json").status == 3
    damaged = bytearray(packed.read_bytes())
    damaged[-1] ^= 1
    packed.write_bytes(damaged)
    page = tmp_path / "x.html"
    assert run("report", packed, "-o", page).status == 3
    assert not page.exists()
