"""Sensitivities of the output: right in a case known by hand, by two estimates, for all nets."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.nets import make_net
from tests.unit.compress.nets import CONV, filled, images

from cmodel.compress.sensitivity import output_sensitivities
from cmodel.compress.statistics import Calibration
from cmodel.errors import NetError, RecipeError, UsageError
from cmodel.tensors import Dense

# By name: the package has a function that is called as this module is.
MODULE = sys.modules["cmodel.compress.sensitivity"]

PROB = CONV + 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }'
NAMES = ["conv1/0", "conv2/0", "conv3/0", "fc/0"]


def test_the_last_layer_has_the_variance_of_its_labels():
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
            inner_product_param { num_output: 3 bias_term: false } }
    layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
    """
    net = make_net(text, {"fc": [Dense(np.eye(3, dtype=np.float32))]})
    x = np.log(np.full((200, 3), [0.5, 0.3, 0.2])).astype(np.float32)
    found = output_sensitivities(net, ["fc/0"], Calibration(net, x), draws=50)["fc/0"]
    assert found.dtype == np.float64
    assert found == pytest.approx([0.25, 0.21, 0.16], abs=0.01)
    squared = make_net(
        text.replace("Softmax", "TanH"), {"fc": [Dense(np.eye(3, dtype=np.float32))]}
    )
    found = output_sensitivities(squared, ["fc/0"], Calibration(squared, x), draws=50)["fc/0"]
    assert found == pytest.approx((1 - np.tanh(x[0].astype(np.float64)) ** 2) ** 2, rel=0.05)


@pytest.mark.parametrize("text", [CONV, PROB], ids=["scores", "softmax"])
def test_both_estimates_agree(text, monkeypatch):
    net = filled(text)
    calibration = Calibration(net, images(net, 60))
    exact = output_sensitivities(net, NAMES, calibration, draws=20)
    monkeypatch.setattr(MODULE, "differentiable", lambda net, heads: set())
    rough = output_sensitivities(net, NAMES, calibration, draws=20)
    for name in NAMES:
        assert (rough[name] == rough[name][0]).all()
        assert rough[name].shape == exact[name].shape
        assert 0.5 < exact[name].mean() / rough[name][0] < 2


def test_what_lies_before_a_layer_without_a_backward_pass_is_perturbed():
    text = PROB.replace('name: "relu1" type: "ReLU"', 'name: "relu1" type: "MVN"')
    net = filled(text)
    found = output_sensitivities(net, NAMES, Calibration(net, images(net)))
    assert len(set(found["conv1/0"])) == 1
    assert found["conv1/0"][0] > 0
    assert len(set(found["conv2/0"])) == 12


def test_batches_and_seeds(monkeypatch):
    net, x = filled(PROB), images(filled(PROB))
    calibration = Calibration(net, x)
    seen = []
    first = output_sensitivities(net, ["conv1/0"], calibration, on_progress=seen.append)["conv1/0"]
    assert seen == [20]
    monkeypatch.setattr(MODULE, "_MAX_BATCH", 7)
    again = output_sensitivities(net, ["conv1/0"], calibration)["conv1/0"]
    assert again == pytest.approx(first, rel=1e-4)
    other = output_sensitivities(net, ["conv1/0"], calibration, seed=1)["conv1/0"]
    assert not np.allclose(other, first, rtol=1e-3)
    few = output_sensitivities(net, ["conv1/0"], calibration, images=9)["conv1/0"]
    only = output_sensitivities(net, ["conv1/0"], Calibration(net, x[:9]))["conv1/0"]
    assert (few == only).all()


def test_errors_are_named():
    net = filled(PROB)
    calibration = Calibration(net, images(net))
    with pytest.raises(RecipeError, match="`conv1/1` is not the weights"):
        output_sensitivities(net, ["conv1/1"], calibration)
    with pytest.raises(UsageError, match="draws"):
        output_sensitivities(net, NAMES, calibration, draws=0)
    net.parameters["fc/1"] = Dense(np.full(7, np.nan, np.float32))
    with pytest.raises(NetError, match="not finite"):
        output_sensitivities(net, NAMES, calibration)
