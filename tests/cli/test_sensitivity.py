"""`cmodel sensitivity` as a user and as a script meet it."""

from __future__ import annotations

import pytest


def test_default_settings_dearest_first(run, model):
    call = ("sensitivity", model.prototxt, "--weights", model.weights, "--data", model.data)
    facts = run(*call, "--json").json
    assert facts["schema"] == "cmodel.sensitivity/1"
    assert facts["images"] == 60
    costs = [entry["comparison"]["kl"] for entry in facts["layers"]]
    assert costs == sorted(costs, reverse=True)
    assert sorted((entry["layer"], entry["step"]["bits"]) for entry in facts["layers"]) == [
        (layer, bits) for layer in ("conv", "fc") for bits in (2, 3, 4, 6)
    ]
    text = run(*call).out
    assert "quantize.uniform bits=2" in text
    assert "each layer alone, all others untouched; 60 images, top-1 before" in text


def test_a_method_with_options(run, model):
    call = ("sensitivity", model.prototxt, "--weights", model.weights, "--data", model.data)
    result = run(
        *call, "--method", "quantize.kmeans", "--option", "k=2,4", "--option", "init=linear",
        "--layer", "fc", "--limit", 30, "--json",
    )  # fmt: skip
    assert result.json["images"] == 30
    assert sorted(entry["step"]["k"] for entry in result.json["layers"]) == [2, 4]
    assert {entry["step"]["init"] for entry in result.json["layers"]} == {"linear"}
    assert {entry["layer"] for entry in result.json["layers"]} == {"fc"}


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--option", "k=2"], "--option goes with --method"),
        (["--method", "quantize.kmeans", "--option", "k"], "KEY=VALUE"),
        (["--method", "quantize.kmeans", "--option", "k=2", "--option", "k=3"], "given twice"),
        (["--method", "quantize.kmeans", "--option", "k=two"], "k is an integer"),
        (["--method", "quantize.kmean"], "did you mean"),
        (["--layer", "fcc"], "did you mean `fc`"),
    ],
)
def test_bad_calls(run, model, more, match):
    result = run(
        "sensitivity", model.prototxt, "--weights", model.weights, "--data", model.data, *more
    )
    assert result.status == 2
    assert match in result.err
