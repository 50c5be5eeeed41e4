"""Layers of forks in ONNX: onnxruntime gives what the engine gives."""

import numpy as np
import pytest
from tests.nets import make_net
from tests.onnx_tools import error_of, run_onnx

from cmodel.engine import Engine
from cmodel.errors import UnsupportedError
from cmodel.interchange import export
from cmodel.tensors import Dense

CASES = {
    "ReLU6": ("", []),
    "Permute": ("permute_param { order: 0 order: 2 order: 3 order: 1 }", []),
    "ShuffleChannel": ("shuffle_channel_param { group: 2 }", []),
    "Upsample": ("upsample_param { scale: 3 }", []),
    "Reorg": ("reorg_param { stride: 2 }", []),
    "Reorg reverse": ("reorg_param { stride: 2 reverse: true }", []),
    "Interp": ("interp_param { height: 11 width: 5 }", []),
    "Interp cut": ("interp_param { zoom_factor: 2 pad_beg: -1 pad_end: -1 }", []),
    "Normalize": ("norm_param { across_spatial: false channel_shared: false }", [(4,)]),
    "Normalize shared": ("norm_param { across_spatial: true channel_shared: true }", [()]),
    "BN": ("", [(1, 4, 1, 1)] * 4),
    "ConvolutionDepthwise": (
        "convolution_param { num_output: 4 kernel_size: 3 bias_term: false }",
        [(4, 1, 3, 3)],
    ),
}


def one_layer(case):
    kind = case.split()[0]
    fields, shapes = CASES[case]
    rng = np.random.default_rng(1)
    return make_net(
        'layer { name: "x" type: "Input" top: "x"'
        " input_param { shape { dim: 2 dim: 4 dim: 6 dim: 8 } } }"
        f'layer {{ name: "y" type: "{kind}" bottom: "x" top: "y" {fields} }}',
        {"y": [Dense(rng.uniform(0.5, 2, shape).astype(np.float32)) for shape in shapes]},
    )


@pytest.mark.parametrize("case", CASES)
def test_layer(case, tmp_path):
    net = one_layer(case)
    assert export(net, tmp_path / "net.onnx")["batch"] == "any"
    x = {"x": (5 * np.random.default_rng(2).normal(size=(3, 4, 6, 8))).astype(np.float32)}
    expected = Engine(net, threads=1).run(x)["y"]
    assert error_of(run_onnx(tmp_path / "net.onnx", x)["y"], expected) < 1e-6


def test_axpy(tmp_path):
    net = make_net(
        'layer { name: "in" type: "Input" top: "a" top: "x" top: "y"'
        " input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 dim: 4 dim: 5 }"
        " shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }"
        'layer { name: "z" type: "Axpy" bottom: "a" bottom: "x" bottom: "y" top: "z" }',
        {},
    )
    rng = np.random.default_rng(0)
    feed = {name: rng.normal(size=(3, 3, 4, 5)).astype(np.float32) for name in ("x", "y")}
    feed["a"] = rng.normal(size=(3, 3)).astype(np.float32)
    export(net, tmp_path / "net.onnx")
    expected = Engine(net, threads=1).run(feed)["z"]
    assert error_of(run_onnx(tmp_path / "net.onnx", feed)["z"], expected) < 1e-6


def test_segnets_bn_is_refused(tmp_path):
    net = make_net(
        'layer { name: "x" type: "Input" top: "x"'
        " input_param { shape { dim: 2 dim: 4 dim: 6 dim: 8 } } }"
        'layer { name: "y" type: "BN" bottom: "x" top: "y" bn_param { bn_mode: INFERENCE } }',
        {"y": [Dense(np.ones((1, 4, 1, 1), np.float32))] * 2},
    )
    with pytest.raises(UnsupportedError, match="SegNet"):
        export(net, tmp_path / "net.onnx")
