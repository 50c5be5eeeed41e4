"""`pack` refuses transforms and class names that do not fit the net; options beat a mean file."""

from __future__ import annotations

import numpy as np
import pytest

TRAIN_VAL = """
layer { name: "data" type: "Data" top: "data" top: "label"
        transform_param { scale: 0.5 mean_file: "gone.binaryproto" } }
"""


def test_lengths_that_do_not_fit(run, model, tmp_path):
    call = ("pack", model.prototxt, model.weights, "-o", tmp_path / "x.cmodel")
    np.save(tmp_path / "gray.npy", np.zeros((8, 8), np.float32))
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    for options, text in [
        (("--scale", "1,2"), "scale of the input transform are 2 numbers"),
        (("--mean-value", "1,2,3,4"), "mean values of the input transform are 4 numbers"),
        (("--mean-file", tmp_path / "gray.npy"), "mean image has 1 channels"),
        (("--class-names", names), "2 class names, the output `prob` has 6"),
    ]:
        refused = run(*call, *options)
        assert refused.status == 2
        assert text in refused.err
    assert not (tmp_path / "x.cmodel").exists()


@pytest.mark.parametrize("option", ["--mean-value", "--mean-file"])
def test_a_missing_mean_file_can_be_overridden(run, model, tmp_path, option):
    stated = tmp_path / "train_val.prototxt"
    stated.write_text(TRAIN_VAL)
    call = ("pack", model.prototxt, model.weights, "-o", tmp_path / "x.cmodel")
    refused = run(*call, "--transform-from", stated)
    assert refused.status == 3
    assert "gone.binaryproto" in refused.err
    np.save(tmp_path / "mean.npy", np.full((3, 8, 8), 7, np.float32))
    value = "7" if option == "--mean-value" else tmp_path / "mean.npy"
    assert run(*call, "--transform-from", stated, option, value).status == 0
    transform = run("inspect", tmp_path / "x.cmodel", "--json").json["transform"]
    assert transform["scale"] == [0.5]
    expected = {"--mean-value": ([7.0], None), "--mean-file": ([], [3, 8, 8])}[option]
    assert (transform["mean_values"], transform["mean_image"]) == expected
