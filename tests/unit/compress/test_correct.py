"""correct.bias, correct.batchnorm and fold.equalize."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.compress.nets import CONV, apply, distance, filled, images, run

import cmodel
from cmodel.compress import Calibration, compress, parse_recipe
from cmodel.compress.responses import Responses
from cmodel.errors import RecipeError
from cmodel.tensors import Dense, Linear

COARSE = '[[step]]\nmethod = "quantize.linear"\nbits = 3\n'
BN = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 8 kernel_size: 3 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "scale" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "conv2" type: "Convolution" bottom: "c" top: "d"
        convolution_param { num_output: 6 kernel_size: 3 } }
"""
DEPTHWISE = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 9 dim: 9 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 6 kernel_size: 1 } }
layer { name: "ra" type: "ReLU" bottom: "a" top: "a" relu_param { negative_slope: 0.1 } }
layer { name: "dw" type: "Convolution" bottom: "a" top: "dw"
        convolution_param { num_output: 6 kernel_size: 3 group: 6 pad: 1 } }
layer { name: "rb" type: "ReLU" bottom: "dw" top: "rb" }
layer { name: "g" type: "Convolution" bottom: "rb" top: "g" convolution_param { num_output: 8 kernel_size: 3 group: 2 } }
layer { name: "pool" type: "Pooling" bottom: "g" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 TRANSPOSE } }
"""


def moments(net, x, key, inputs=False):
    here = Responses(net, Calibration(net, x), 1)
    layer = net.layer(key)
    name = here.input(layer) if inputs else here.output(layer)
    return here.moments([name])[name]


def steps(text: str, net, **more):
    return compress(net, parse_recipe(text, "r"), **more)


def test_moments_are_those_of_numpy():
    net = filled(CONV)
    x = images(net, 70)
    found = moments(net, x, "conv1")
    # conv1's blob is overwritten by the ReLU in place: the value before it is meant.
    text = CONV.replace('bottom: "conv1" top: "conv1"', 'bottom: "conv1" top: "r"')
    text = text.replace('bottom: "conv1" top: "conv2"', 'bottom: "r" top: "conv2"')
    values = run(filled(text), x, "conv1").astype(np.float64)
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.variance, values.var(axis=(0, 2, 3)), rtol=1e-5)


def test_bias_correction_restores_the_means_of_every_layer():
    net = filled(CONV)
    x = images(net, 60)
    plain = steps(COARSE, net, data=x)
    better = steps(COARSE + '[[step]]\nmethod = "correct.bias"\n', net, data=x)
    for key in ("conv1", "conv2", "fc"):
        wanted = moments(net, x, key).mean
        np.testing.assert_allclose(moments(better, x, key).mean, wanted, atol=1e-5)
        assert np.abs(moments(plain, x, key).mean - wanted).max() > 1e-3
    assert distance(run(better, x), run(net, x)) < distance(run(plain, x), run(net, x))


def test_an_unchanged_net_is_not_changed():
    net = filled(CONV)
    x = images(net)
    for method in ("correct.bias", "correct.batchnorm"):
        same = apply(net, method, data=x)
        for name in net.parameters:
            np.testing.assert_allclose(
                same.parameters[name].to_dense(), net.parameters[name].to_dense(), atol=1e-5
            )


def test_batchnorm_takes_over_what_changed():
    net = filled(BN, seed=3)
    x = images(net, 50)
    # Training statistics that are a little off those of the images stay so.
    net.parameters["bn/2"] = Dense(np.array([3.0], np.float32))
    found = moments(net, x, "bn", inputs=True)
    net.parameters["bn/0"] = Dense((found.mean * 3 + 0.1).astype(np.float32))
    net.parameters["bn/1"] = Dense((found.variance * 3.3).astype(np.float32))
    better = steps(COARSE + '[[step]]\nmethod = "correct.batchnorm"\n', net, data=x)
    for name in ("mean", "variance"):
        wanted = getattr(moments(net, x, "bn"), name)
        np.testing.assert_allclose(getattr(moments(better, x, "bn"), name), wanted, atol=1e-4)
    plain = steps(COARSE, net, data=x)
    assert distance(run(better, x), run(net, x)) < distance(run(plain, x), run(net, x))


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_folded_batchnorm_is_matched_by_rows_and_biases(granularity):
    net = filled(BN, seed=3)
    x = images(net, 50)
    recipe = (
        '[[step]]\nmethod = "fold.batchnorm"\n'
        + COARSE.replace("3", "6")
        + f'granularity = "{granularity}"\n[[step]]\nmethod = "correct.batchnorm"\nexpand = true\n'
    )
    better = steps(recipe, net, data=x)
    form = better.parameters["conv/0"]
    assert isinstance(form, Linear)
    assert form.groups == 8
    wanted, found = moments(net, x, "scale"), moments(better, x, "conv")
    np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-4)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-3)


def test_rows_stay_where_they_are_not_to_be_scaled():
    net = filled(CONV)
    x = images(net)
    recipe = COARSE + '[[step]]\nmethod = "correct.batchnorm"\nrows = false\n'
    plain, better = steps(COARSE, net, data=x), steps(recipe, net, data=x)
    np.testing.assert_array_equal(
        plain.parameters["conv1/0"].to_dense(), better.parameters["conv1/0"].to_dense()
    )
    wanted = moments(net, x, "fc").mean
    np.testing.assert_allclose(moments(better, x, "fc").mean, wanted, atol=1e-4)


def test_corrections_come_before_biases_are_quantized():
    net = filled(CONV)
    side = '[[step]]\nmethod = "quantize.side"\nselect = { kind = "biases" }\n'
    for method in ("correct.bias", "correct.batchnorm"):
        with pytest.raises(RecipeError, match="is quantized already"):
            steps(side + f'[[step]]\nmethod = "{method}"\n', net, data=images(net))
        with pytest.raises(RecipeError, match="needs images"):
            apply(net, method)
    with pytest.raises(RecipeError, match="finds no Convolution"):
        apply(net, "correct.bias", 'select = { name = "conv3" }', data=images(net))


@pytest.mark.parametrize("transpose", [False, True])
def test_equalisation_keeps_outputs_and_evens_out_ranges(transpose):
    net = filled(DEPTHWISE.replace("TRANSPOSE", f"transpose: {str(transpose).lower()}"))
    uneven = np.geomspace(0.01, 10, 6).astype(np.float32)
    for blob in (0, 1):
        values = net.parameters[f"a/{blob}"].to_dense()
        scaled = values * uneven.reshape(-1, *(1,) * (values.ndim - 1))
        net.parameters[f"a/{blob}"] = Dense(scaled)
    filters = net.parameters["dw/0"].to_dense() / uneven.reshape(-1, 1, 1, 1)
    net.parameters["dw/0"] = Dense(filters)
    x = images(net)
    even = apply(net, "fold.equalize", "iterations = 200")
    np.testing.assert_allclose(run(even, x), run(net, x), rtol=1e-3, atol=1e-4)
    for first, second in (("a", "dw"), ("dw", "g")):
        one, two = (even.parameters[f"{key}/0"].to_dense() for key in (first, second))
        r1 = np.abs(one.reshape(6, -1)).max(axis=1)
        if second == "dw":
            r2 = np.abs(two.reshape(6, -1)).max(axis=1)
        else:
            r2 = np.abs(two.reshape(2, 4, 3, -1)).max(axis=(1, 3)).reshape(-1)
        np.testing.assert_allclose(r1, r2, rtol=0.02)
    four = 'method = "quantize.linear"\nbits = 5\ngranularity = "tensor"\n'
    plain = steps(f"[[step]]\n{four}", net)
    better = steps(f'[[step]]\nmethod = "fold.equalize"\n[[step]]\n{four}', net)
    assert distance(run(better, x), run(net, x)) < 0.7 * distance(run(plain, x), run(net, x))


def test_without_a_pair_there_is_nothing_to_equalise():
    with pytest.raises(RecipeError, match="finds no two selected layers"):
        apply(filled(CONV), "fold.equalize", 'select = { name = "conv1" }')
    sigmoid = CONV.replace('"ReLU"', '"Sigmoid"')
    net = apply(filled(sigmoid), "fold.equalize")
    assert set(net.notes["facts"]) == {"conv3/0"}


@pytest.mark.data
def test_resnet20_at_4_bits_gets_nearer_to_the_original(shared_data, resnet_images):
    place = shared_data / "data/models/cifar10_resnet20"
    net = cmodel.load(place / "deploy.prototxt", place / "resnet20.caffemodel")
    calibration, judged = resnet_images[:32], resnet_images[32:]
    start = '[[step]]\nmethod = "fold.batchnorm"\n[[step]]\nmethod = "quantize.linear"\nbits = 4\n'
    kl = {}
    for method in ("", "correct.bias", "correct.batchnorm"):
        end = f'[[step]]\nmethod = "{method}"\n' if method else ""
        packed = steps(start + end, net, data=calibration)
        kl[method] = cmodel.evaluate.compare(run(net, judged), run(packed, judged)).kl
    assert kl["correct.bias"] < 0.9 * kl[""]
    assert kl["correct.batchnorm"] < 0.9 * kl[""]
