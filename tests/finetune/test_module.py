"""Nets as torch modules against the engine, and back."""

import io
import json
import zipfile

import numpy as np
import pytest
from tests.golden.test_layers import LAYERS, NETS, names

from cmodel.caffe import load_net
from cmodel.engine import Engine
from cmodel.errors import UnsupportedError
from cmodel.finetune import torch_module
from cmodel.net import unfolded
from cmodel.tensors import Codebook, Dense, Hashed, Linear, Product, Sparse

# Layers of which no gradient is asked: losses, and what picks, counts or cuts.
UNTRAINED = {
    "Accuracy",
    "ArgMax",
    "BatchReindex",
    "ContrastiveLoss",
    "Filter",
    "HingeLoss",
    "Im2col",
    "LSTM",
    "LSTMUnit",
    "Parameter",
    "Reduction",
    "SPP",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "SoftmaxWithLoss",
    "Threshold",
    "Tile",
}
TRAINED = [case for case in names(LAYERS) if case.split("_")[0] not in UNTRAINED]


def unpack(archive, case, folder):
    with zipfile.ZipFile(archive) as cases:
        for file in ("deploy.prototxt", "weights.caffemodel"):
            if f"{case}/{file}" in cases.namelist():
                cases.extract(f"{case}/{file}", folder)
        meta = json.loads(cases.read(f"{case}/meta.json"))
        feed = {
            blob: np.load(io.BytesIO(cases.read(f"{case}/{file}"))).astype(np.float32)
            for blob, file in meta["inputs"].items()
        }
    weights = folder / case / "weights.caffemodel"
    path = folder / case / "deploy.prototxt"
    return load_net(path, weights if weights.exists() else None, require_weights=False), feed


def agree(net, feed, tolerance=1e-4):
    import torch

    from cmodel.finetune.module import NetModule

    picks = [layer.key for layer in net.layers if layer.type == "ArgMax"]
    module = NetModule(net, frozen=picks).eval()
    with torch.no_grad():
        found = module({blob: torch.from_numpy(x) for blob, x in feed.items()})
    expected = Engine(unfolded(net), threads=1).run(feed, "all")
    compared = 0
    for blob, values in found.items():
        if blob in feed:
            continue
        mine, theirs = values.numpy(), expected[blob]
        assert mine.shape == theirs.shape, blob
        finite = np.isfinite(theirs)
        assert (np.isfinite(mine) == finite).all(), blob
        largest = np.abs(theirs[finite]).max(initial=1e-6)
        error = np.abs(mine[finite] - theirs[finite]).max(initial=0) / largest
        assert error <= tolerance, f"{blob}: {error:.2g}"
        compared += 1
    assert compared
    same(net, module.to_net())


def same(net, other):
    for name in net.parameters:
        before, after = net.parameters[name].to_dense(), other.parameters[name].to_dense()
        assert np.array_equal(before.view(np.uint32), after.view(np.uint32)), name


@pytest.mark.parametrize("case", TRAINED)
def test_layer(case, tmp_path):
    agree(*unpack(LAYERS, case, tmp_path))


@pytest.mark.parametrize("case", ["fcn_toy"])
def test_net(case, tmp_path):
    agree(*unpack(NETS, case, tmp_path))


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
    entry = meta["inputs"][0]
    agree(net, {entry["blob"]: np.load(folder / entry["file"])[:2].astype(np.float32)})


def test_types_that_do_not_train_are_named(tmp_path):
    net, _ = unpack(LAYERS, "Tile_axis1", tmp_path)
    with pytest.raises(UnsupportedError, match=r"Tile.*cannot be trained") as caught:
        torch_module(net)
    assert "freeze" in caught.value.hint


def test_a_frozen_type_without_a_twin_runs_on_the_engine(tmp_path):
    import torch

    from cmodel.finetune.module import NetModule

    net, feed = unpack(LAYERS, "Tile_axis1", tmp_path)
    frozen = [layer.key for layer in net.layers if layer.type == "Tile"]
    module = NetModule(net, frozen=frozen).eval()
    found = module({blob: torch.from_numpy(x) for blob, x in feed.items()})
    for blob, values in Engine(net).run(feed).items():
        assert np.array_equal(found[blob].numpy(), values)
    with pytest.raises(UnsupportedError, match="no gradient passes"):
        module({blob: torch.from_numpy(x).requires_grad_() for blob, x in feed.items()})


def forms():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 8)).astype(np.float32)
    positions = np.flatnonzero(rng.random(48) < 0.3).astype(np.int64)
    few = rng.normal(size=(1, 5)).astype(np.float32)
    index = rng.integers(0, 5, (6, 8)).astype(np.uint8)
    yield "dense", Dense(values)
    yield "sparse", Sparse((6, 8), positions, Dense(values.reshape(-1)[positions]))
    blocks = np.array([0, 2, 5], np.int64)
    yield "blocks", Sparse((6, 8), blocks, Dense(values.reshape(-1)[:24]), (2, 4))
    yield "codebook", Codebook(Dense(few), index)
    yield "codebooks", Codebook(Dense(rng.normal(size=(6, 5)).astype(np.float32)), index)
    shared = Codebook(Dense(few), index.reshape(-1)[: positions.size].copy())
    yield "sparse codebook", Sparse((6, 8), positions, shared)
    ints = rng.integers(-9, 9, (6, 8)).astype(np.int8)
    scales = Dense(rng.random(6).astype(np.float32))
    yield "linear", Linear(scales, np.arange(6, dtype=np.int32), ints)
    yield "hashed", Hashed((6, 8), Dense(few[0]), 7)
    books = Dense(rng.normal(size=(2, 4, 3, 2)).astype(np.float32))
    yield "product", Product((8, 6), (1, 0), books, rng.integers(0, 3, (2, 6, 4)).astype(np.uint8))


@pytest.mark.parametrize("form", [pytest.param(form, id=name) for name, form in forms()])
def test_forms_train_as_what_they_are(form):
    import torch

    from cmodel.finetune.forms import trainable

    held = trainable(form, "layer/0")
    dense = held()
    assert np.allclose(dense.detach().numpy(), form.to_dense(), atol=1e-6)
    assert np.array_equal(held.form().to_dense(), form.to_dense())
    # The gradient of what is stored is that of the dense values, along every way to change it.
    weight = torch.from_numpy(np.random.default_rng(1).normal(size=form.shape).astype(np.float32))
    (dense * weight).sum().backward()
    stored = list(held.parameters())
    assert len(stored) == 1
    expected = torch.zeros_like(stored[0]).reshape(-1)
    before = dense.detach().clone()
    for i in range(stored[0].numel()):
        with torch.no_grad():
            stored[0].reshape(-1)[i] += 1
            expected[i] = ((held() - before) * weight).sum()
            stored[0].reshape(-1)[i] -= 1
    assert torch.allclose(stored[0].grad.reshape(-1), expected, atol=1e-4)
    with torch.no_grad():
        stored[0].add_(0.25)
    after = held.form()
    assert type(after) is type(form)
    assert np.allclose(after.to_dense(), held().detach().numpy(), atol=1e-6)
