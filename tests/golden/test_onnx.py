"""Every golden net and layer, exported to ONNX: onnxruntime gives what Caffe gave."""

import io
import json
import zipfile

import numpy as np
import pytest
from tests.golden.test_layers import LAYER, LAYERS, NETS, TOLERANCES, names
from tests.onnx_tools import error_of, run_onnx

from cmodel.caffe import load_net
from cmodel.engine import Engine
from cmodel.errors import UnsupportedError
from cmodel.interchange import export

# Types that ONNX export leaves out: losses and accuracy want labels.
LEFT_OUT = ("Accuracy", "ContrastiveLoss", "Filter", "HingeLoss", "Im2col", "LSTM", "LSTMUnit")
LEFT_OUT += ("SigmoidCrossEntropyLoss", "SoftmaxWithLoss")


def is_left_out(case):
    return case.split("_")[0] in LEFT_OUT


def unpacked(archive, case, folder):
    """Return net, feed and what Caffe gave."""
    with zipfile.ZipFile(archive) as cases:
        for file in ("deploy.prototxt", "weights.caffemodel"):
            if f"{case}/{file}" in cases.namelist():
                cases.extract(f"{case}/{file}", folder)
        meta = json.loads(cases.read(f"{case}/meta.json"))

        def array(file):
            return np.load(io.BytesIO(cases.read(f"{case}/{file}")))

        feed = {blob: array(file) for blob, file in meta["inputs"].items()}
        expected = {blob: array(file) for blob, file in meta["blobs"].items()}
    weights = folder / case / "weights.caffemodel"
    net = load_net(
        folder / case / "deploy.prototxt",
        weights if weights.exists() else None,
        require_weights=False,
    )
    return net, feed, expected


def check(archive, case, folder, tolerance):
    net, feed, expected = unpacked(archive, case, folder)
    facts = export(net, folder / "net.onnx")
    found = run_onnx(folder / "net.onnx", feed, expected)
    compared = 0
    for blob, values in expected.items():
        # What has overwritten an input in place cannot have its name.
        name = next((name for name in (f"{blob}#2", blob) if name in found), None)
        if name is not None:
            assert error_of(found[name], values) <= tolerance, blob
            compared += 1
    assert compared
    return facts, compared


@pytest.mark.parametrize("case", [case for case in names(LAYERS) if not is_left_out(case)])
def test_layer(case, tmp_path):
    check(LAYERS, case, tmp_path, LAYER)


@pytest.mark.parametrize("case", [case for case in names(LAYERS) if is_left_out(case)])
def test_left_out_types_are_named(case, tmp_path):
    net, _, _ = unpacked(LAYERS, case, tmp_path)
    with pytest.raises(UnsupportedError, match=r"ONNX export has no layer type") as caught:
        export(net, tmp_path / "net.onnx")
    assert caught.value.notes
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("case", names(NETS))
def test_net(case, tmp_path):
    facts, _ = check(NETS, case, tmp_path, TOLERANCES[case])
    assert facts["batch"] == "any" or case == "kitchen_sink"


def check_folder(folder, net, tmp_path, tolerance):
    meta = json.loads((folder / "meta.json").read_text())
    feed = {entry["blob"]: np.load(folder / entry["file"]) for entry in meta["inputs"]}
    facts = export(net, tmp_path / "net.onnx")
    assert facts["batch"] == "any"
    ours = Engine(net, threads=2).run(feed, blobs="all")
    found = run_onnx(tmp_path / "net.onnx", feed, ours)
    for blob in found:
        assert error_of(found[blob], ours[blob]) <= tolerance, blob
        file = folder / meta["blobs"][blob]["file"]
        if file.exists():
            assert error_of(found[blob], np.load(file)) <= tolerance, blob
    assert set(net.outputs) <= set(found)


@pytest.mark.data
@pytest.mark.parametrize("case", ["cifar10_full", "cifar10_quick", "lenet", "lenet_300_100"])
def test_shared_net(case, shared_data, tmp_path):
    folder = shared_data / "golden" / "nets" / case
    net = load_net(folder / "deploy.prototxt", folder / "weights.caffemodel")
    check_folder(folder, net, tmp_path, TOLERANCES[case])


MODELS = [
    "cifar10_full_70000",
    "cifar10_quick_5000",
    "cifar10_resnet20",
    "lenet300100_dns_original",
    "lenet300100_dns_sparse",
    "lenet5_dns_original",
    "lenet5_dns_sparse",
    "lenet_bvlc",
    "squeezenet_v1.0_han",
    "squeezenet_v1.1",
]


@pytest.mark.data
@pytest.mark.parametrize("case", MODELS)
def test_shared_model(case, shared_data, tmp_path):
    folder = shared_data / "golden" / "models" / case
    source = json.loads((folder / "meta.json").read_text())["source_model"]
    net = load_net(folder / "deploy.prototxt", shared_data / "data" / "models" / source)
    check_folder(folder, net, tmp_path, TOLERANCES[case])


@pytest.mark.data
@pytest.mark.parametrize(
    "model", ["lenet300100_mnist/lenet300100_mnist", "lenet_fashion/lenet_fashion"]
)
def test_shared_model_without_golden(model, shared_data, tmp_path):
    weights = shared_data / "data" / "models" / f"{model}.caffemodel"
    net = load_net(weights.with_name("deploy.prototxt"), weights)
    (name, shape) = next(iter(net.inputs.items()))
    rng = np.random.default_rng(0)
    feed = {name: rng.uniform(size=(3, *shape[1:])).astype(np.float32)}
    export(net, tmp_path / "net.onnx")
    found = run_onnx(tmp_path / "net.onnx", feed)
    ours = Engine(net, threads=1).run(feed)
    assert found.keys() == ours.keys()
    for blob in ours:
        assert error_of(found[blob], ours[blob]) <= TOLERANCES["lenet"]
