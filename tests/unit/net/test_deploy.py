"""What a deployed network leaves out, and that it answers as before."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nets import make_net

import cmodel
from cmodel.net import deployed
from cmodel.tensors import Dense

TEXT = """
name: "n" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 name: "shared" }
        convolution_param { num_output: 3 kernel_size: 3 pad: 0 stride: 1 group: 1 bias_term: true
                            weight_filler { type: "xavier" } bias_filler { type: "constant" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 pad: 0 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" param { lr_mult: 1 } param { lr_mult: 2 }
        inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "slice" type: "Slice" bottom: "fc" top: "a" top: "b" slice_param { slice_dim: 1 } }
"""


def filled(seed: int = 0):
    rng = np.random.default_rng(seed)

    def dense(*shape):
        return Dense(rng.normal(size=shape).astype(np.float32))

    blobs = {"conv": [dense(3, 2, 3, 3), dense(3)], "fc": [dense(4, 12), dense(4)]}
    return make_net(TEXT, blobs)


def test_training_fields_and_defaults_go_and_all_else_stays():
    net = deployed(filled())
    conv, relu, pool, fc, cut = (
        net.layer(k).param for k in ("conv", "relu", "pool", "fc", "slice")
    )
    assert str(conv.convolution_param).split() == ["num_output:", "3", "kernel_size:", "3"]
    assert [spec.name for spec in conv.param] == ["", "shared"]
    assert not conv.param[1].HasField("lr_mult")
    assert not relu.HasField("relu_param")
    assert str(pool.pooling_param).split() == ["kernel_size:", "2", "stride:", "2"]
    assert str(fc.inner_product_param).split() == ["num_output:", "4"]
    assert not fc.param
    # Whether it is stated means something here.
    assert cut.slice_param.HasField("slice_dim")
    assert not net.header.HasField("force_backward")


def test_the_original_is_unchanged():
    net = filled()
    before = [layer.param.SerializeToString(deterministic=True) for layer in net.layers]
    deployed(net)
    assert [layer.param.SerializeToString(deterministic=True) for layer in net.layers] == before


def test_fillers_of_layers_without_parameters_stay():
    net = deployed(make_net(TEXT, {}))
    assert net.layer("conv").param.convolution_param.HasField("weight_filler")


def test_outputs_stay():
    net = filled()
    x = np.random.default_rng(1).normal(size=(2, 2, 6, 6)).astype(np.float32)
    before, after = (cmodel.Engine(n, threads=1).run({"data": x}) for n in (net, deployed(net)))
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


MODELS = [
    ("lenet_bvlc", "lenet_iter_10000", 90),
    ("lenet300100_dns", "caffe_lenet300100_original", 20),
    ("cifar10_full", "cifar10_full_iter_70000", 0),
    ("cifar10_resnet20", "resnet20", 100),
    ("squeezenet_v1.1", "squeezenet_v1.1_fp32", 0),
]


@pytest.mark.data
@pytest.mark.parametrize(("folder", "weights", "saved"), MODELS)
def test_real_nets_say_less_and_answer_the_same(shared_data, folder, weights, saved):
    place = shared_data / "data" / "models" / folder
    net = cmodel.load(place / "deploy.prototxt", place / f"{weights}.caffemodel")
    small = deployed(net)
    sizes = [sum(layer.param.ByteSize() for layer in n.layers) for n in (net, small)]
    assert sizes[0] - sizes[1] >= saved
    blob, shape = next(iter(net.inputs.items()))
    x = np.random.default_rng(0).normal(size=(1, *shape[1:])).astype(np.float32)
    out = net.outputs[-1]
    before, after = (cmodel.Engine(n, threads=1).run({blob: x}, [out])[out] for n in (net, small))
    np.testing.assert_array_equal(after, before)
