"""Models that PyTorch wrote, by both its exporters: our engine agrees with onnxruntime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.onnx_tools import error_of, run_onnx

import cmodel
from cmodel import container
from cmodel.caffe import print_prototxt
from cmodel.interchange import export

HERE = Path(__file__).parent
MODELS = sorted(HERE.glob("*.onnx"))


def images(net):
    (name, shape) = next(iter(net.inputs.items()))
    rng = np.random.default_rng(0)
    return {name: rng.uniform(size=(3, *shape[1:])).astype(np.float32)}


def test_all_models_are_here():
    nets = [
        "alexnet",
        "efficientnet_lite0",
        "mobilenet_v2",
        "resnet18",
        "squeeze_excite",
        "squeezenet",
        "vgg11",
    ]
    names = [f"{net}_{exporter}.onnx" for net in nets for exporter in ("dynamo", "script")]
    assert [path.name for path in MODELS] == sorted(names)
    assert all(path.stat().st_size < 300_000 for path in MODELS)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_engine_agrees_with_onnxruntime(path):
    net = cmodel.load(path)
    feed = images(net)
    expected = run_onnx(path, feed)
    found = cmodel.Engine(net, threads=2).run(feed)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert error_of(found[name], values) <= 1e-5
    # Blobs on the way have the names of ONNX's values.
    inner = [blob for layer in net.layers for blob in layer.tops]
    shared = {name for node in onnx.load(path).graph.node for name in node.output} & set(inner)
    assert len(shared) > 0.5 * len(inner)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_back_to_onnx(path, tmp_path):
    net = cmodel.load(path)
    facts = export(net, tmp_path / "again.onnx")
    assert facts["batch"] == "any"
    feed = images(net)
    expected = run_onnx(path, feed)
    found = run_onnx(tmp_path / "again.onnx", feed)
    for name, values in expected.items():
        assert error_of(found[name], values) <= 1e-5


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_as_a_container_and_as_caffe_files(path, tmp_path):
    net = cmodel.load(path)
    container.write(net, tmp_path / "net.cmodel")
    stored = cmodel.load(tmp_path / "net.cmodel")
    export(net, tmp_path / "net.caffemodel")
    again = cmodel.load(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", strict=True)
    assert print_prototxt(again) == print_prototxt(net)
    feed = images(net)
    expected = cmodel.Engine(net, threads=1).run(feed)
    for other in (stored, again):
        found = cmodel.Engine(other, threads=1).run(feed)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)
