"""Dead channels go, and the answers stay."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.compress.nets import apply, distance, filled, images, run
from tests.unit.compress.test_structured import WIDE, silenced

from cmodel.compress import compress, parse_recipe
from cmodel.net import infer_shapes
from cmodel.tensors import Dense, Linear, Sparse

PLAIN = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "fc1" type: "InnerProduct" bottom: "b" top: "fc1" inner_product_param { num_output: 7 } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 4 } }
"""


def cleared(net, name, axis, channels):
    """Make the weights of channels zero."""
    values = net.parameters[name].to_dense().copy()
    np.moveaxis(values, axis, 0)[channels] = 0
    net.parameters[name] = Dense(values)


def test_constant_channels_move_into_the_biases_of_their_readers():
    net, x = filled(PLAIN), images(filled(PLAIN))
    cleared(net, "a/0", 0, [1, 4])
    cleared(net, "fc1/0", 0, [0])
    assert (net.parameters["a/1"].to_dense()[[1, 4]] > 0).any()
    new = apply(net, "prune.dead")
    infer_shapes(new)
    assert new.parameters.shape("a/0") == (4, 3, 3, 3)
    assert new.parameters.shape("b/0") == (5, 4, 3, 3)
    assert new.parameters.shape("fc1/0") == (6, 80)
    assert distance(run(new, x), run(net, x)) < 1e-5
    assert new.notes["facts"]["a/0"]["prune.dead"] == {
        "shape_before": [6, 3, 3, 3],
        "shape": [4, 3, 3, 3],
    }


def test_what_nothing_reads_goes_and_then_what_only_that_read():
    net, x = filled(PLAIN), images(filled(PLAIN))
    cleared(net, "fc2/0", 1, [2, 3])
    # Channel 4 of b is read by filters 2 and 3 of fc1 only.
    columns = np.arange(4 * 16, 5 * 16)
    values = net.parameters["fc1/0"].to_dense().copy()
    values[np.ix_([0, 1, 4, 5, 6], columns)] = 0
    net.parameters["fc1/0"] = Dense(values)
    new = apply(net, "prune.dead")
    assert new.parameters.shape("fc1/0") == (5, 64)
    assert new.parameters.shape("b/0") == (4, 6, 3, 3)
    assert distance(run(new, x), run(net, x)) < 1e-5


def test_a_constant_that_reaches_into_padding_stays():
    text = PLAIN.replace("num_output: 5 kernel_size: 3", "num_output: 5 kernel_size: 3 pad: 1")
    net, x = filled(text), images(filled(text))
    cleared(net, "a/0", 0, [1, 4])
    net.parameters["a/1"] = Dense(np.array([1, 0.5, 1, 1, -0.5, 1], np.float32))
    new = apply(net, "prune.dead")
    # Behind the ReLU the one with a negative bias is zero, and zero is what is padded with.
    assert new.parameters.shape("a/0") == (5, 3, 3, 3)
    assert distance(run(new, x), run(net, x)) < 1e-5


def test_all_kinds_of_layers_follow():
    net, x = filled(WIDE), images(filled(WIDE))
    silenced(net, "a", [1, 4], "a_scale/0", "a_scale/1")
    silenced(net, "c", [1, 4])
    silenced(net, "dw", [1, 4])
    silenced(net, "b", [0, 5])
    silenced(net, "d", [2, 7, 9])
    silenced(net, "e", [3])
    silenced(net, "fc1", [0, 8])
    silenced(net, "fc2", [0, 8])
    new = apply(net, "prune.dead")
    infer_shapes(new)
    assert distance(run(new, x), run(net, x)) < 1e-5
    shapes = {name: new.parameters.shape(name) for name in new.parameters}
    assert shapes["a/0"] == (6, 3, 3, 3)
    assert shapes["b/0"] == (4, 6, 3, 3)
    assert shapes["dw/0"] == (6, 1, 3, 3)
    assert shapes["d/0"] == (7, 6, 1, 1)
    assert shapes["fc1/0"] == (7, 5 * 9)


@pytest.mark.parametrize("select", ["", 'select = { name = "fc1" }'])
def test_nothing_changes_where_nothing_is_dead_or_selected(select):
    net = filled(PLAIN)
    if select:
        cleared(net, "a/0", 0, [1])
    new = apply(net, "prune.dead", select)
    for name in net.parameters:
        assert (new.parameters[name].to_dense() == net.parameters[name].to_dense()).all()
    assert "facts" not in new.notes


def test_a_layer_keeps_a_filter():
    net, x = filled(PLAIN), images(filled(PLAIN))
    cleared(net, "b/0", 0, slice(None))
    new = apply(net, "prune.dead")
    infer_shapes(new)
    assert new.parameters.shape("b/0")[0] == 1
    assert distance(run(new, x), run(net, x)) < 1e-5


def test_sparse_forms_stay_sparse_and_quantized_ones_quantized():
    net, x = filled(PLAIN), images(filled(PLAIN))
    cleared(net, "fc1/0", 0, [0, 3])
    values = net.parameters["fc1/0"].to_dense()
    positions = np.flatnonzero(values).astype(np.int64)
    values = Dense(values.reshape(-1)[positions])
    net.parameters["fc1/0"] = Sparse((7, 80), positions, values)
    new = apply(net, "prune.dead")
    assert isinstance(new.parameters["fc1/0"], Sparse)
    assert new.parameters.shape("fc1/0") == (5, 80)
    assert distance(run(new, x), run(net, x)) < 1e-5
    steps = '[[step]]\nmethod = "quantize.linear"\n[[step]]\nmethod = "prune.dead"'
    kept = compress(net.copy(), parse_recipe(steps.replace("linear", "uniform"), "r"))
    assert kept.parameters.shape("fc1/0") == (5, 80)
    assert not isinstance(kept.parameters["fc1/0"], Dense)


def test_the_preset_drops_what_is_dead_and_keeps_zeros():
    net, x = filled(PLAIN), images(filled(PLAIN), 200)
    cleared(net, "a/0", 0, [1])
    weights = net.parameters["fc1/0"].to_dense().copy()
    weights[np.random.default_rng(0).random(weights.shape) < 0.5] = 0
    net.parameters["fc1/0"] = Dense(weights)
    new = compress(net, "rdo", data=x)
    assert new.parameters.shape("a/0")[0] == 5
    assert not new.parameters["fc1/0"].to_dense()[weights == 0].any()
    assert distance(run(new, x), run(net, x)) < 0.1


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "pool" type: "Pooling" bottom: "b" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c" type: "InnerProduct" bottom: "pool" top: "c" inner_product_param { num_output: 10 } }
layer { name: "d" type: "InnerProduct" bottom: "c" top: "d" inner_product_param { num_output: 4 } }
"""


def silent():
    net = filled(NET)
    # Silent: two filters and their biases. Unread: one filter, three units.
    cleared(net, "a/0", 0, [1, 4])
    cleared(net, "a/1", 0, [1, 4])
    cleared(net, "b/0", 1, [6])
    cleared(net, "d/0", 1, [0, 5, 9])
    return net


@pytest.mark.parametrize("form", ["dense", "sparse", "codebook", "linear"])
def test_outputs_stay_whatever_the_form(form):
    steps = {
        "dense": [],
        "sparse": [("prune.magnitude", "density = 0.99")],
        "codebook": [("prune.magnitude", "density = 0.99"), ("quantize.kmeans", "k = 9")],
        "linear": [("quantize.linear", 'bits = 6\ngranularity = "tensor"')],
    }[form]
    net = silent()
    for step in steps:
        net = apply(net, *step)
    out = apply(net, "prune.dead")
    assert out.parameters.shape("a/0") == (5, 3, 3, 3)
    assert out.parameters.shape("b/0") == (6, 5, 3, 3)
    assert out.parameters.shape("c/0")[0] == 7
    assert out.parameters.shape("d/0") == (4, 7)
    x = images(net, 5)
    assert np.allclose(run(net, x), run(out, x), rtol=1e-5, atol=1e-6)
    assert type(out.parameters["a/0"]) is type(net.parameters["a/0"])


def test_grids_of_several_groups_are_left():
    rows = apply(silent(), "quantize.linear", "bits = 6")
    assert isinstance(rows.parameters["a/0"], Linear)
    assert apply(rows, "prune.dead").parameters.shape("a/0")[0] == 8
