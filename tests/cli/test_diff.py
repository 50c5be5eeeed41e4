"""`cmodel diff` as a user and as a script meet it."""

from __future__ import annotations

import pytest


@pytest.fixture
def packed(run, model, tmp_path):
    out = tmp_path / "x.cmodel"
    assert run("pack", model.prototxt, model.weights, "-o", out).status == 0
    return out


def test_a_net_and_its_container(run, model, packed):
    call = ("diff", model.prototxt, packed, "--weights-a", model.weights)
    facts = run(*call, "--data", model.data, "--json").json
    assert facts["schema"] == "cmodel.diff/1"
    assert facts["images"] == 60
    assert facts["parts"] == "conv"
    assert facts["parameters"][0]["forms"] == ["dense", "linear"]
    assert [blob["name"] for blob in facts["blobs"]] == ["conv", "fc", "prob"]
    assert facts["comparison"]["loss"] is not None
    text = run(*call, "--data", model.data, "--limit", 20).out
    assert "dense | linear" in text
    assert "they part at the layer `conv`" in text
    assert "20 images" in text
    assert "95 % interval" in text


def test_random_inputs_are_said_to_be(run, packed):
    result = run("diff", packed, packed, "--seed", 3)
    assert result.status == 0
    assert "inputs: random (standard normal, seed 3), 16 images" in result.out
    assert "no blob differs by more than 0.0001" in result.out
    assert "top-1 agreement 100.00 %" in result.out
    assert run("diff", packed, packed, "--limit", 5, "--json").json["images"] == 5


def test_bad_calls(run, model, packed, tmp_path):
    assert "--threshold is" in run("diff", packed, packed, "--threshold", "-1").err
    assert run("diff", packed, tmp_path / "none").status == 3
    result = run("diff", packed, packed, "--data", model.data, "--scale", 2)
    assert result.status == 2
    assert "fed as they are" in result.err
