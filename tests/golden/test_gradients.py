"""Backward passes of whole nets against differences of their forward passes."""

import io
import json
import zipfile

import numpy as np
import pytest
from tests.golden.test_layers import NETS

from cmodel.caffe import load_net
from cmodel.engine import Engine, Gradients


def agree(net, x):
    """Compare derivatives of random weighted sums of the scores, most of all along the gradient.

    Maxima and rectifiers bend where a step is long, and rounding hides short ones: the best counts.
    """
    rng = np.random.default_rng(0)
    # Ties, as in a black background, have no derivative.
    x = x + (0.01 * np.abs(x).max() * rng.standard_normal(x.shape)).astype(np.float32)
    blob = next(iter(net.inputs))
    # Sure predictions leave a softmax flat: the scores before it.
    head = next((layer.bottoms[0] for layer in net.layers if layer.type == "Softmax"), None)
    head = head or net.outputs[-1]
    engine = Engine(net, threads=2)
    top = engine.run({blob: x}, [head])[head]
    given = rng.standard_normal((3, *top.shape)).astype(np.float32)
    found = Gradients(net, [head], [blob], threads=2).run({blob: x}, {head: given})[blob]
    errors = []
    for size in (1e-4, 1e-5, 1e-6):
        way = found.sum(axis=0) / np.linalg.norm(found.sum(axis=0))
        noise = rng.standard_normal(way.shape).astype(np.float32)
        way += noise / np.linalg.norm(noise)
        step = np.float32(size * np.linalg.norm(x)) * way
        ahead, behind = x + step, x - step
        moved = engine.run({blob: ahead}, [head])[head].astype(np.float64)
        moved -= engine.run({blob: behind}, [head])[head]
        expected = given.reshape(3, -1) @ moved.reshape(-1)
        change = ahead.astype(np.float64) - behind
        actual = found.reshape(3, -1).astype(np.float64) @ change.reshape(-1)
        errors.append(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
    assert min(errors) < 0.005, errors


def test_net_with_deconvolution_and_crop(tmp_path):
    with zipfile.ZipFile(NETS) as cases:
        cases.extract("fcn_toy/deploy.prototxt", tmp_path)
        cases.extract("fcn_toy/weights.caffemodel", tmp_path)
        x = np.load(io.BytesIO(cases.read("fcn_toy/data.npy")))
    folder = tmp_path / "fcn_toy"
    agree(load_net(folder / "deploy.prototxt", folder / "weights.caffemodel"), x)


@pytest.mark.data
@pytest.mark.parametrize(
    "case",
    [
        "cifar10_full_70000",
        "cifar10_quick_5000",
        "cifar10_resnet20",
        "lenet300100_dns_original",
        "lenet5_dns_sparse",
        "lenet_bvlc",
        "squeezenet_v1.0_han",
        "squeezenet_v1.1",
    ],
)
def test_model(case, shared_data):
    folder = shared_data / "golden" / "models" / case
    meta = json.loads((folder / "meta.json").read_text())
    net = load_net(folder / "deploy.prototxt", shared_data / "data/models" / meta["source_model"])
    agree(net, np.load(folder / meta["inputs"][0]["file"])[:2])
