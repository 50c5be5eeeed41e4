"""Small nets for tests, made without files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from google.protobuf import text_format

from cmodel.net import Layer, Net, Parameters, layer_keys, parameter_name
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense, Form

TOY = """
name: "toy"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 6 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def make_net(text: str, blobs: Mapping[str, Sequence[Form]]) -> Net:
    """Build a net from prototxt text and the forms of its layers, by layer key."""
    header = text_format.Parse(text, caffe_pb2.NetParameter())
    keys = layer_keys(layer.name for layer in header.layer)
    layers, parameters = [], Parameters()
    for key, param in zip(keys, header.layer, strict=True):
        copy = caffe_pb2.LayerParameter()
        copy.CopyFrom(param)
        names = [parameter_name(key, i) for i in range(len(blobs.get(key, ())))]
        for name, form in zip(names, blobs.get(key, ()), strict=True):
            parameters[name] = form
        layers.append(Layer(copy, key, names))
    header.ClearField("layer")
    return Net(header, layers, parameters)


def toy_net(seed: int = 0) -> Net:
    """Return a small convolutional net with random weights."""
    rng = np.random.default_rng(seed)

    def dense(*shape: int) -> Dense:
        return Dense(rng.normal(size=shape).astype(np.float32))

    return make_net(TOY, {"conv": [dense(4, 3, 3, 3), dense(4)], "fc": [dense(6, 144), dense(6)]})


# A small SqueezeNet: a window that pooling cuts off, fire modules, and no fully connected layer.
FIRE = """
name: "fire"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 24 dim: 21 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 12 kernel_size: 3 stride: 2 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "squeeze" type: "Convolution" bottom: "pool1" top: "squeeze"
        convolution_param { num_output: 5 kernel_size: 1 } }
layer { name: "relu2" type: "ReLU" bottom: "squeeze" top: "squeeze" }
layer { name: "expand1" type: "Convolution" bottom: "squeeze" top: "expand1"
        convolution_param { num_output: 9 kernel_size: 1 } }
layer { name: "relu3" type: "ReLU" bottom: "expand1" top: "expand1" }
layer { name: "expand3" type: "Convolution" bottom: "squeeze" top: "expand3"
        convolution_param { num_output: 9 kernel_size: 3 pad: 1 } }
layer { name: "relu4" type: "ReLU" bottom: "expand3" top: "expand3" }
layer { name: "concat" type: "Concat" bottom: "expand1" bottom: "expand3" top: "concat" }
layer { name: "drop" type: "Dropout" bottom: "concat" top: "concat" dropout_param { dropout_ratio: 0.5 } }
layer { name: "conv10" type: "Convolution" bottom: "concat" top: "conv10"
        convolution_param { num_output: 7 kernel_size: 1 } }
layer { name: "relu10" type: "ReLU" bottom: "conv10" top: "conv10" }
layer { name: "pool10" type: "Pooling" bottom: "conv10" top: "pool10"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "pool10" top: "prob" }
"""

DENSE = """
name: "dense"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 64 dim: 1 dim: 12 dim: 10 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
        inner_product_param { num_output: 40 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
        inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""


def random_net(text: str, shapes: Mapping[str, Sequence[int]], seed: int = 0) -> Net:
    """Build a net with random weights of these shapes, by layer key, and a bias for each output."""
    rng = np.random.default_rng(seed)
    blobs = {}
    for key, shape in shapes.items():
        weights = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        biases = 0.1 * rng.normal(size=shape[0])
        blobs[key] = [Dense(blob.astype(np.float32)) for blob in (weights, biases)]
    return make_net(text, blobs)


def fire_net(seed: int = 0) -> Net:
    """Return a small SqueezeNet with random weights."""
    shapes = {
        "conv1": (12, 3, 3, 3),
        "squeeze": (5, 12, 1, 1),
        "expand1": (9, 5, 1, 1),
        "expand3": (9, 5, 3, 3),
        "conv10": (7, 18, 1, 1),
    }
    return random_net(FIRE, shapes, seed)


def dense_net(seed: int = 0) -> Net:
    """Return a small net of fully connected layers, like LeNet-300-100, with random weights."""
    return random_net(DENSE, {"ip1": (40, 120), "ip2": (10, 40)}, seed)
