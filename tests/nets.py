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
