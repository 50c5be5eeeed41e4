"""Sensitivities of the output: right in a case known by hand, by two estimates, for all nets."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from tests.nets import make_net
from tests.unit.compress.nets import CONV, filled, images

import cmodel
from cmodel.compress.sensitivity import fisher_information
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
    found = fisher_information(net, ["fc/0"], Calibration(net, x), draws=50)["fc/0"].outputs
    assert found.dtype == np.float64
    assert found == pytest.approx([0.25, 0.21, 0.16], abs=0.01)
    squared = make_net(
        text.replace("Softmax", "TanH"), {"fc": [Dense(np.eye(3, dtype=np.float32))]}
    )
    found = fisher_information(squared, ["fc/0"], Calibration(squared, x), draws=50)["fc/0"].outputs
    assert found == pytest.approx((1 - np.tanh(x[0].astype(np.float64)) ** 2) ** 2, rel=0.05)


@pytest.mark.parametrize("text", [CONV, PROB], ids=["scores", "softmax"])
def test_both_estimates_agree(text, monkeypatch):
    net = filled(text)
    calibration = Calibration(net, images(net, 60))
    exact = fisher_information(net, NAMES, calibration, draws=20)
    monkeypatch.setattr(MODULE, "differentiable", lambda net, heads: set())
    rough = fisher_information(net, NAMES, calibration, draws=20)
    for name in NAMES:
        assert (rough[name].outputs == rough[name].outputs[0]).all()
        assert rough[name].outputs.shape == exact[name].outputs.shape
        assert 0.5 < exact[name].outputs.mean() / rough[name].outputs[0] < 2


def test_what_lies_before_a_layer_without_a_backward_pass_is_perturbed():
    text = PROB.replace('name: "relu1" type: "ReLU"', 'name: "relu1" type: "MVN"')
    net = filled(text)
    found = fisher_information(net, NAMES, Calibration(net, images(net)))
    assert len(set(found["conv1/0"].outputs)) == 1
    assert found["conv1/0"].outputs[0] > 0
    assert len(set(found["conv2/0"].outputs)) == 12


def test_batches_and_seeds(monkeypatch):
    net, x = filled(PROB), images(filled(PROB))
    calibration = Calibration(net, x)
    seen = []
    first = fisher_information(net, ["conv1/0"], calibration, on_progress=seen.append)[
        "conv1/0"
    ].outputs
    assert seen == [20]
    monkeypatch.setattr(MODULE, "_MAX_BATCH", 7)
    again = fisher_information(net, ["conv1/0"], calibration)["conv1/0"].outputs
    assert again == pytest.approx(first, rel=1e-4)
    other = fisher_information(net, ["conv1/0"], calibration, seed=1)["conv1/0"].outputs
    assert not np.allclose(other, first, rtol=1e-3)
    few = fisher_information(net, ["conv1/0"], calibration, images=9)["conv1/0"].outputs
    only = fisher_information(net, ["conv1/0"], Calibration(net, x[:9]))["conv1/0"].outputs
    assert (few == only).all()


def test_errors_are_named():
    net = filled(PROB)
    calibration = Calibration(net, images(net))
    with pytest.raises(RecipeError, match="`conv1/1` is not the weights"):
        fisher_information(net, ["conv1/1"], calibration)
    with pytest.raises(UsageError, match="draws"):
        fisher_information(net, NAMES, calibration, draws=0)
    net.parameters["fc/1"] = Dense(np.full(7, np.nan, np.float32))
    with pytest.raises(NetError, match="not finite"):
        fisher_information(net, NAMES, calibration)


TIED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 7 dim: 6 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 24 group: 2 kernel_size: 3 stride: 2 pad: 1 dilation: 2 } }
layer { name: "relu1" type: "TanH" bottom: "conv1" top: "relu1" }
layer { name: "fc" type: "InnerProduct" bottom: "relu1" top: "fc"
        inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.mark.parametrize("name", ["conv1/0", "fc/0"])
def test_the_input_side_is_that_of_gradients_at_the_weights(name):
    # KL(net || net with weights w + dw) = 1/2 dwᵀ F dw; H sums F's blocks of single outputs up.
    net = filled(TIED)
    calibration = Calibration(net, images(net, 200))
    found = fisher_information(net, [name], calibration, inputs=[name], draws=20)[name]
    weights = net.parameters[name].to_dense()
    assert found.inputs.shape == ((2, 18, 18) if name == "conv1/0" else (1, 144, 144))
    rng = np.random.default_rng(0)
    feed = {"data": images(net, 200)}
    before = cmodel.Engine(net).run(feed, ["prob"])["prob"].astype(np.float64)
    rows = weights.reshape(len(found.inputs), -1, found.inputs.shape[1])
    direction = rng.standard_normal((len(found.inputs), 1, rows.shape[2]))
    wanted = float(np.einsum("grk,gkl,grl->", direction, found.inputs, direction)) / 2
    size, total = 1e-2, 0.0
    for group, row, sign in itertools.product(*map(range, rows.shape[:2]), (1, -1)):
        moved = rows.astype(np.float64)
        moved[group, row] += sign * size * direction[group, 0]
        changed = net.copy()
        changed.parameters[name] = Dense(moved.reshape(weights.shape).astype(np.float32))
        after = cmodel.Engine(changed).run(feed, ["prob"])["prob"].astype(np.float64)
        total += float((before * np.log(before / after)).sum(axis=1).mean()) / 2
    assert total / size**2 == pytest.approx(wanted, rel=0.1)
