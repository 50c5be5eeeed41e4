"""The viewer's live run in plain Node against the engine: every layer type, whole nets, files."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.nets import make_net

import cmodel
from cmodel.caffe import load_net

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDEN = ROOT / "tests" / "golden"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

# Largest difference from the engine, relative to the largest magnitude of the blob.
TOLERANCE = 1e-5
# What the live run says that it does not know, of the layer types that real Caffe has run.
UNKNOWN_TYPES = {
    "Accuracy", "BatchReindex", "ContrastiveLoss", "Filter", "HingeLoss", "Im2col", "LSTM",
    "LSTMUnit", "Parameter", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss",
}  # fmt: skip
# Settings that it says it does not know, of types that it does know otherwise.
UNKNOWN_SETTINGS = {
    "BatchNorm_batch_stats",
    "Convolution_1d", "Convolution_1d_stride_dil", "Convolution_3d", "Convolution_3d_stride2",
    "Convolution_axis0_chw", "Convolution_axis2", "Deconvolution_3d",
}  # fmt: skip


def run_jobs(jobs, folder):
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [str(NODE), str(HERE / "live_run.mjs"), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def job(name, file, feed, folder):
    feeds = {}
    for number, (blob, values) in enumerate(feed.items()):
        path = folder / f"{name}.feed{number}"
        np.ascontiguousarray(values, np.float32).tofile(path)
        feeds[blob] = {"shape": list(values.shape), "file": str(path)}
    return {"file": str(file), "feeds": feeds, "out": str(folder / name)}


def blob(entry):
    return np.fromfile(entry["file"], np.float32).reshape(entry["shape"])


def agree(name, found, expected, tolerance=TOLERANCE):
    assert found.size == expected.size, name
    found = found.reshape(expected.shape)
    finite = np.isfinite(expected)
    assert (np.isfinite(found) == finite).all(), name
    largest = np.abs(expected[finite]).max(initial=1e-6)
    error = np.abs(found[finite] - expected[finite]).max(initial=0) / largest
    assert error <= tolerance, f"{name}: {error:.2g}"


def golden_cases(archive, folder):
    """Pack every case of an archive; yield (case, net, feed, file)."""
    with zipfile.ZipFile(archive) as cases:
        cases.extractall(folder, [n for n in cases.namelist() if not n.endswith(".npy")])
        for case in sorted({name.split("/")[0] for name in cases.namelist()}):
            meta = json.loads(cases.read(f"{case}/meta.json"))
            feed = {
                name: np.load(io.BytesIO(cases.read(f"{case}/{file}")))
                for name, file in meta["inputs"].items()
            }
            weights = folder / case / "weights.caffemodel"
            net = load_net(
                folder / case / "deploy.prototxt",
                weights if weights.exists() else None,
                require_weights=False,
            )
            file = folder / f"{case}.cmodel"
            cmodel.save(net, file)
            yield case, net, feed, file


@pytest.fixture(scope="module")
def layer_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    cases = list(golden_cases(GOLDEN / "layers" / "layers.zip", folder))
    results = run_jobs([job(case, file, feed, folder) for case, _, feed, file in cases], folder)
    return {
        case: (net, feed, result)
        for (case, net, feed, _), result in zip(cases, results, strict=True)
    }


def test_every_layer_case_gives_what_the_engine_gives_or_is_named(layer_runs):
    known = 0
    for case, (net, feed, result) in layer_runs.items():
        if result["left"]:
            reasons = {entry["type"] for entry in result["left"] if entry["cause"]}
            assert case in UNKNOWN_SETTINGS or reasons & UNKNOWN_TYPES, (case, result["left"])
            continue
        assert case not in UNKNOWN_SETTINGS
        for name, values in cmodel.Engine(net, threads=1).run(feed, blobs="all").items():
            agree(f"{case}: {name}", blob(result["blobs"][name]), values)
        known += 1
    assert known > 200


def test_small_golden_nets(tmp_path):
    cases = list(golden_cases(GOLDEN / "nets" / "nets.zip", tmp_path))
    results = run_jobs([job(case, file, feed, tmp_path) for case, _, feed, file in cases], tmp_path)
    assert len(results) == 2
    for (case, net, feed, _), result in zip(cases, results, strict=True):
        assert result["left"] == []
        for name, values in cmodel.Engine(net, threads=1).run(feed, blobs="all").items():
            agree(f"{case}: {name}", blob(result["blobs"][name]), values)


INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 8 dim: 8 } } }\n'


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ('type: "Tile" tile_param { tiles: 2000000000 }', "too large"),
        ('type: "SPP" spp_param { pyramid_height: 4000000000 }', "pyramid of 4000000000"),
        ('type: "LRN" lrn_param { local_size: 4 }', "even"),
        ('type: "Reshape" reshape_param { shape { dim: 7 dim: -1 } }', "is no shape"),
        ('type: "Slice" top: "z" slice_param { slice_point: 9 }', "cannot be cut"),
        ('type: "Softmax" softmax_param { axis: 9 }', "no axis 9"),
        ('type: "Pooling" pooling_param { kernel_size: 0 }', "is 0"),
        ('type: "Pooling" pooling_param { kernel_size: 99 }', "larger than its input"),
        ('type: "Convolution" convolution_param { num_output: 2 kernel_size: 1 }', "missing"),
        ('type: "Crop" crop_param { axis: 2 }', "do not fit"),
        ('type: "constructor"', "not known"),
    ],
)
def test_a_layer_that_cannot_run_says_why(layer, why, tmp_path):
    text = f'{INPUT}layer {{ name: "odd" bottom: "data" top: "y" {layer} }}'
    text += 'layer { name: "next" type: "ReLU" bottom: "y" top: "y" }'
    feed = {"data": np.zeros((1, 4, 8, 8), np.float32)}
    cmodel.save(make_net(text, {}), tmp_path / "net.cmodel")
    (result,) = run_jobs([job("net", tmp_path / "net.cmodel", feed, tmp_path)], tmp_path)
    odd, after = result["left"]
    assert (odd["key"], odd["cause"]) == ("odd", True)
    assert why in odd["why"]
    assert (after["key"], after["cause"]) == ("next", False)


def test_an_input_that_is_too_large_counts_as_without_shape(tmp_path):
    text = INPUT.replace("dim: 8", "dim: 1000000") + (
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "y" }'
    )
    cmodel.save(make_net(text, {}), tmp_path / "net.cmodel")
    (result,) = run_jobs([job("net", tmp_path / "net.cmodel", {}, tmp_path)], tmp_path)
    assert result["left"][0]["why"] == "its input data has no shape"


def test_layers_for_training_are_left_out_of_the_run(tmp_path):
    text = f"""{INPUT}
        layer {{ name: "a" type: "ReLU" bottom: "data" top: "a" include {{ phase: TRAIN }} }}
        layer {{ name: "b" type: "ReLU" bottom: "data" top: "b" include {{ phase: TEST }} }}
        layer {{ name: "c" type: "ReLU" bottom: "data" top: "c" exclude {{ phase: TEST }} }}
        layer {{ name: "d" type: "ReLU" bottom: "data" top: "d" include {{ stage: "x" }} }}
        layer {{ name: "e" type: "ReLU" bottom: "data" top: "e" exclude {{ phase: TRAIN }} }}"""
    feed = {"data": np.ones((1, 4, 8, 8), np.float32)}
    cmodel.save(make_net(text, {}), tmp_path / "net.cmodel")
    (result,) = run_jobs([job("net", tmp_path / "net.cmodel", feed, tmp_path)], tmp_path)
    assert set(result["blobs"]) == {"data", "b", "e"}
