"""Nets and helpers for the tests of rewrites and calibrated methods."""

from __future__ import annotations

import numpy as np
from tests.nets import make_net

import cmodel
from cmodel.compress import compress, parse_recipe
from cmodel.net import Net, infer_shapes
from cmodel.tensors import Dense

CONV = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 9 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
        convolution_param { num_output: 12 kernel_size: 3 group: 2 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "conv3" type: "Convolution" bottom: "conv2" top: "conv3"
        convolution_param { num_output: 10 kernel_size: 1 bias_term: false } }
layer { name: "fc" type: "InnerProduct" bottom: "conv3" top: "fc" inner_product_param { num_output: 7 } }
"""


def filled(text: str, seed: int = 0) -> Net:
    """Return the net with random parameters, scaled to keep the sizes of the values."""
    rng = np.random.default_rng(seed)
    net = make_net(text, {})
    shapes = infer_shapes(net).parameters
    blobs = {}
    for layer in net.layers:
        forms = []
        for i, shape in enumerate(shapes[layer.key] or ()):
            values = rng.normal(size=shape)
            if layer.type == "BatchNorm" and i:
                values = np.abs(values) + 0.5
            elif len(shape) > 1:
                values /= np.sqrt(np.prod(shape[1:]))
            forms.append(Dense(values.astype(np.float32)))
        blobs[layer.key] = forms
    return make_net(text, blobs)


def images(net: Net, count: int = 20, seed: int = 5) -> np.ndarray:
    """Return random images whose channels and pixels are correlated."""
    rng = np.random.default_rng(seed)
    shape = next(iter(net.inputs.values()))[1:]
    noise = rng.normal(size=(count, *shape))
    smooth = noise.cumsum(axis=-1) * 0.5 + noise.mean(axis=1, keepdims=True)
    return smooth.astype(np.float32)


def run(net: Net, x: np.ndarray, blob: str | None = None) -> np.ndarray:
    """Return a blob, by default the only output."""
    blob = blob or net.outputs[-1]
    return cmodel.Engine(net, threads=1).run({next(iter(net.inputs)): x}, [blob])[blob]


def apply(net: Net, method: str, options: str = "", **more) -> Net:
    """Run a recipe of one step: `options` are lines of TOML."""
    return compress(net, parse_recipe(f'[[step]]\nmethod = "{method}"\n{options}', "r"), **more)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Relative difference in the Euclidean norm."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
