"""Every blob of nets that Caffe itself has run, layer by layer and in whole nets."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cmodel.caffe import load_net
from cmodel.compress import compress, parse_recipe
from cmodel.engine import Engine
from cmodel.net import unfolded

HERE = Path(__file__).parent
LAYERS = HERE / "layers" / "layers.zip"
NETS = HERE / "nets" / "nets.zip"

# Largest difference, relative to the blob's largest magnitude. One layer rounds a sum of at most a
# few hundred terms in another order than Caffe: ten units in the last place.
LAYER = 1.2e-6
# Caffe differs from itself, with another number of BLAS threads, by 6e-7 on LeNet and CIFAR nets and
# by 3e-6 on SqueezeNet; residual nets with BatchNorm lie at 2e-5 (MobileNet) to 1e-4 (ResNet-50).
TOLERANCES = {
    "kitchen_sink": 5e-6,
    "fcn_toy": 2e-6,
    "cifar10_full": 2e-6,
    "cifar10_quick": 2e-6,
    "lenet": 2e-6,
    "lenet_300_100": 2e-6,
    "cifar10_full_70000": 2e-6,
    "cifar10_quick_5000": 2e-6,
    "lenet300100_dns_original": 2e-6,
    "lenet300100_dns_sparse": 2e-6,
    "lenet5_dns_original": 2e-6,
    "lenet5_dns_sparse": 2e-6,
    "lenet_bvlc": 2e-6,
    "squeezenet_v1.0_han": 5e-6,
    "squeezenet_v1.1": 5e-6,
    "cifar10_resnet20": 2e-5,
}


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as cases:
        return sorted({name.split("/")[0] for name in cases.namelist()})


def agree(name, found, expected, tolerance):
    found = found.reshape(expected.shape)
    finite = np.isfinite(expected)
    assert (np.isfinite(found) == finite).all(), name
    assert (np.isnan(found) == np.isnan(expected)).all(), name
    largest = np.abs(expected[finite]).max(initial=1e-6)
    error = np.abs(found[finite] - expected[finite]).max(initial=0) / largest
    assert error <= tolerance, f"{name}: {error:.2g}"


# What `math="fast"` may differ by.
FAST = 1e-4


# What 8-bit integers may differ by: the norm of the difference, relative to that of the blob.
INT8 = 0.03


def run_packed(archive, case, folder, threads, math="exact", change=None):
    """Return what the engine gives and what Caffe gave."""
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
    if change is not None:
        net = change(net, feed)
    return Engine(net, threads, math).run(feed, blobs="all"), expected


@pytest.mark.parametrize("case", names(LAYERS))
def test_layer(case, tmp_path):
    found, expected = run_packed(LAYERS, case, tmp_path, 2)
    assert found.keys() == expected.keys()
    for blob, values in expected.items():
        agree(blob, found[blob], values, LAYER)


@pytest.mark.parametrize("case", names(NETS))
def test_net(case, tmp_path):
    found, expected = run_packed(NETS, case, tmp_path, 2)
    assert found.keys() == expected.keys()
    for blob, values in expected.items():
        agree(blob, found[blob], values, TOLERANCES[case])


@pytest.mark.parametrize("case", names(NETS))
def test_fast_net(case, tmp_path):
    found, expected = run_packed(NETS, case, tmp_path, 2, "fast")
    for blob, values in expected.items():
        agree(blob, found[blob], values, FAST)


def calibrated(net, feed):
    """Return the net with 8-bit weights, and ranges from the run of what is fed."""
    recipe = '[[step]]\nmethod = "quantize.linear"\nselect.type = ["Convolution", "InnerProduct"]\n'
    net = compress(net, parse_recipe(recipe, "recipe"))
    walk = unfolded(net)
    blobs = Engine(walk, 1).run(feed, blobs="all")
    for layer in net.layers:
        if layer.type in ("Convolution", "InnerProduct"):
            values = [blobs[name] for name in walk.layer(layer.key).bottoms]
            low, high = (end([end(x) for x in values]) for end in (np.min, np.max))
            layer.range = min(float(low), 0.0), max(float(high), 0.0)
    return net


@pytest.mark.parametrize("case", names(NETS))
def test_int8_net(case, tmp_path):
    found, expected = run_packed(NETS, case, tmp_path, 2, "int8", calibrated)
    # Blobs of whole numbers jump.
    for blob in expected.keys() - {"seg", "thr"}:
        error = np.linalg.norm(found[blob] - expected[blob]) / np.linalg.norm(expected[blob])
        assert error <= INT8, f"{blob}: {error:.2g}"


def run_folder(folder, weights, math="exact"):
    meta = json.loads((folder / "meta.json").read_text())
    feed = {entry["blob"]: np.load(folder / entry["file"]) for entry in meta["inputs"]}
    net = load_net(folder / "deploy.prototxt", weights)
    found = Engine(net, threads=2, math=math).run(feed, blobs="all")
    assert found.keys() == meta["blobs"].keys()
    compared = 0
    for blob, entry in meta["blobs"].items():
        assert found[blob].shape == tuple(entry["shape"])
        if (folder / entry["file"]).exists():
            tolerance = TOLERANCES[folder.name] if math == "exact" else FAST
            agree(blob, found[blob], np.load(folder / entry["file"]), tolerance)
            compared += 1
    assert compared


@pytest.mark.data
@pytest.mark.parametrize("case", ["cifar10_full", "cifar10_quick", "lenet", "lenet_300_100"])
def test_shared_net(case, shared_data):
    folder = shared_data / "golden" / "nets" / case
    run_folder(folder, folder / "weights.caffemodel")


@pytest.mark.data
@pytest.mark.parametrize(
    "case",
    [
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
    ],
)
def test_shared_model(case, shared_data):
    folder = shared_data / "golden" / "models" / case
    source = json.loads((folder / "meta.json").read_text())["source_model"]
    for math in ("exact", "fast"):
        run_folder(folder, shared_data / "data" / "models" / source, math)
