"""quantize.side: what biases and normalisation cost, and what their rounding does."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nets import make_net
from tests.unit.compress.nets import CONV, apply, distance, filled, images, run

import cmodel
from cmodel.compress import compress, parse_recipe
from cmodel.container import size_of_form
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, Linear

BIASES = 'select = { kind = "biases" }\n'
NORMALISED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 64 kernel_size: 3 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "conv" top: "conv" }
"""


def side_bytes(net) -> int:
    return sum(size_of_form(net.parameters[name]) for name in net.parameters if name[-1] != "0")


def test_values_are_rounded_to_half_a_step():
    rng = np.random.default_rng(0)
    bias = (rng.normal(size=300) * 3).astype(np.float32)
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }'
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"'
        " inner_product_param { num_output: 300 } }"
    )
    net = make_net(text, {"fc": [Dense(np.ones((300, 2), np.float32)), Dense(bias)]})
    packed = apply(net, "quantize.side", BIASES + "step = 0.1")
    form = packed.parameters["fc/1"]
    assert isinstance(form, Linear)
    rms = np.sqrt(np.square(bias).mean())
    assert np.abs(form.to_dense() - bias).max() <= 0.1 * rms / 2 * 1.001
    # 300 values of 5 to 6 bits and a scale of 2 bytes, where float32 takes 1200.
    assert size_of_form(form) < 260
    assert size_of_form(form) == packed.notes["facts"]["fc/1"]["quantize.side"]["bytes"]


def test_steps_by_outputs_save_most_where_biases_are_small():
    net = filled(CONV)
    for name in ("conv1/1", "conv2/1", "fc/1"):
        net.parameters[name] = Dense(net.parameters[name].to_dense() * np.float32(0.05))
    x = images(net)
    by_values = apply(net, "quantize.side", BIASES + 'by = "values"')
    by_outputs = apply(net, "quantize.side", BIASES + 'by = "outputs"', data=x)
    assert side_bytes(by_outputs) < side_bytes(by_values) < side_bytes(net)
    assert distance(run(by_outputs, x), run(net, x)) < 0.03


def test_batchnorm_scale_and_prelu_keep_the_outputs():
    net = filled(NORMALISED, seed=4)
    net.parameters["bn/2"] = Dense(np.array([2.0], np.float32))
    x = images(net)
    packed = apply(net, "quantize.side", 'select = { kind = "biases" }\nstep = 0.05')
    assert distance(run(packed, x), run(net, x)) < 0.03
    names = ("bn/0", "bn/1", "scale/0", "scale/1", "prelu/0")
    before, after = (sum(size_of_form(n.parameters[k]) for k in names) for n in (net, packed))
    assert after < before / 2.5
    np.testing.assert_array_equal(packed.parameters["bn/2"].to_dense(), [2.0])


@pytest.mark.parametrize("value", [0.0, -1.5, 1e-30, 3e38])
def test_constant_tiny_and_huge_biases_stay_what_they_are(value):
    net = filled(CONV)
    net.parameters["fc/1"] = Dense(np.full(7, value, np.float32))
    packed = apply(net, "quantize.side", BIASES + "step = 0.01")
    np.testing.assert_allclose(packed.parameters["fc/1"].to_dense(), value, rtol=0.01)


def test_an_empty_and_a_single_bias(tmp_path):
    net = filled(CONV)
    for values in (np.zeros(0), np.array([0.7])):
        net.parameters["fc/1"] = Dense(values.astype(np.float32))
        packed = apply(net, "quantize.side", BIASES)
        np.testing.assert_allclose(packed.parameters["fc/1"].to_dense(), values, rtol=0.05)


def test_it_goes_through_the_container(tmp_path):
    net = apply(filled(CONV), "quantize.side", BIASES)
    cmodel.container.write(net, tmp_path / "x.cmodel")
    read = cmodel.container.read(tmp_path / "x.cmodel")
    for name in net.parameters:
        np.testing.assert_array_equal(
            read.parameters[name].to_dense(), net.parameters[name].to_dense()
        )


def test_what_does_not_go_is_said():
    net = filled(CONV)
    with pytest.raises(RecipeError, match="only weights are selected"):
        apply(net, "quantize.side")
    with pytest.raises(RecipeError, match="images to calibrate"):
        apply(net, "quantize.side", BIASES + 'by = "outputs"')
    twice = f'[[step]]\nmethod = "quantize.side"\n{BIASES}' * 2
    with pytest.raises(RecipeError, match="quantized already"):
        compress(net, parse_recipe(twice, "r"))
    with pytest.raises(RecipeError, match="step is a number above 0"):
        apply(net, "quantize.side", BIASES + "step = 0")


@pytest.mark.data
def test_lenets_biases_take_a_tenth_of_their_bytes(shared_data, mnist_images):
    place = shared_data / "data/models/lenet_bvlc"
    net = cmodel.load(place / "deploy.prototxt", place / "lenet_iter_10000.caffemodel")
    packed = apply(net, "quantize.side", BIASES + 'by = "outputs"', data=mnist_images)
    assert side_bytes(packed) <= side_bytes(net) // 10
    kl = cmodel.evaluate.compare(run(net, mnist_images), run(packed, mnist_images)).kl
    assert kl < 2e-4
