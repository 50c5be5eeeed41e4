"""The page of a container and its facts."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tests.nets import make_net, toy_net

import cmodel
from cmodel.container import Container
from cmodel.report import container_facts, container_page, output_errors
from cmodel.report.container_facts import kind_of
from cmodel.report.pictures import entropy_bits, histogram, levels, weight_map
from cmodel.tensors import Codebook, Dense, Linear, Sparse

EVIL = "<script>alert(1)</script>"
PRESETS = ["linear8", "kmeans-huffman", "deep-compression", "lossless"]


def facts_of(net, tmp_path, original=None):
    path = tmp_path / "x.cmodel"
    cmodel.save(net, path)
    return container_facts(Container(path), original), path


@pytest.mark.parametrize("preset", PRESETS)
def test_the_bytes_by_kind_are_the_whole_file(tmp_path, preset):
    facts, path = facts_of(cmodel.compress(toy_net(), preset), tmp_path)
    assert sum(facts["kinds"].values()) == facts["bytes"] == path.stat().st_size
    in_layers = sum(layer["bytes"] for layer in facts["layers"])
    assert facts["bytes"] - in_layers == sum(facts["side"].values()) == facts["kinds"]["side"]
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_page_needs_nothing_from_outside(tmp_path, preset):
    original = toy_net()
    facts, _ = facts_of(cmodel.compress(original, preset), tmp_path, original)
    page = container_page(facts)
    assert not re.search(r"<script|<link(?! rel=\"icon\")|url\(|@import|https?://", page)
    assert page.count('class="card"') == 2


def test_weight_errors_are_relative_to_the_original(tmp_path):
    original = toy_net()
    facts, _ = facts_of(cmodel.compress(original, "lossless"), tmp_path, original)
    assert [t["error"] for layer in facts["layers"] for t in layer["tensors"]] == [0.0] * 4
    packed = cmodel.compress(original, "linear8")
    facts, _ = facts_of(packed, tmp_path, original)
    for tensor in (t for layer in facts["layers"] for t in layer["tensors"]):
        truth = original.parameters[tensor["name"]].to_dense()
        error = np.linalg.norm(packed.parameters[tensor["name"]].to_dense() - truth)
        assert tensor["error"] == pytest.approx(error / np.linalg.norm(truth), rel=1e-5)


def test_output_errors_are_those_of_the_runs():
    original = toy_net()
    packed = cmodel.compress(original, "kmeans-huffman")
    x = np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype(np.float32)
    found = output_errors(packed, original, [x[:5], x[5:]], "data", "noise")
    assert (found["images"], found["why"]) == (6, None)
    for entry in found["blobs"]:
        ours, theirs = (
            cmodel.Engine(net).run({"data": x}, [entry["blob"]])[entry["blob"]]
            for net in (packed, original)
        )
        expected = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert entry["error"] == pytest.approx(expected, rel=1e-4)
    assert [entry["blob"] for entry in found["blobs"]] == ["conv", "fc", "prob"]


def test_output_errors_say_why_there_are_none():
    x = np.zeros((1, 5, 8, 8), np.float32)
    found = output_errors(toy_net(), toy_net(), [x], "data", "zeros")
    assert found["why"]
    assert found["blobs"] == []


def test_every_text_of_a_file_is_escaped(tmp_path):
    text = """name: "EVIL" layer { name: "in" type: "Input" top: "data"
      input_param { shape { dim: 1 dim: 3 } } }
      layer { name: "EVIL" type: "InnerProduct" bottom: "data" top: "EVIL"
      inner_product_param { num_output: 2 bias_term: false } }""".replace("EVIL", EVIL)
    net = make_net(text, {EVIL: [Dense(np.ones((2, 3), np.float32))]})
    net.labels = (EVIL,)
    net.notes["recipe"] = {EVIL: EVIL, "step": [{EVIL: {EVIL: [EVIL]}}, EVIL]}
    net.notes["seed"] = EVIL
    facts, path = facts_of(net, tmp_path, net)
    feed = np.ones((1, 3), np.float32)
    facts["outputs"] = output_errors(Container(path).net(), net, [feed], "data", EVIL)
    page = container_page(facts)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 5


def test_a_net_without_parameters_has_a_page(tmp_path):
    text = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 } } }'
    facts, _ = facts_of(make_net(text, {}), tmp_path)
    assert "Where the bytes are" in container_page(facts)


def test_many_layers_stay_small(tmp_path):
    rng = np.random.default_rng(0)
    layers, blobs = [], {}
    for i in range(400):
        layers.append(
            f'layer {{ name: "ip{i}" type: "InnerProduct" bottom: "b{i}" top: "b{i + 1}" '
            "inner_product_param { num_output: 40 } }"
        )
        weights = rng.normal(size=(40, 40)).astype(np.float32)
        weights[rng.random(weights.shape) < 0.7] = 0
        blobs[f"ip{i}"] = [Dense(weights), Dense(np.zeros(40, np.float32))]
    net = make_net('input: "b0" input_shape { dim: 1 dim: 40 }' + "".join(layers), blobs)
    facts, _ = facts_of(cmodel.compress(net, "kmeans-huffman"), tmp_path)
    page = container_page(facts)
    assert len(page.encode()) < 2_000_000
    assert page.count('class="card"') == 48
    assert "Not shown: 150 layers" in page


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        ("values", "floats"),
        ("indices", "indices"),
        ("ints", "indices"),
        ("codes", "indices"),
        ("mask", "positions"),
        ("gaps", "positions"),
        ("values.centroids.values", "codebooks"),
        ("centroids.ints", "codebooks"),
        ("codebooks.scales.values", "codebooks"),
        ("values.scales.values", "scales"),
        ("zeros.low", "scales"),
        ("buckets.values", "floats"),
        ("values.indices", "indices"),
    ],
)
def test_the_kind_of_a_stream(stream, kind):
    assert kind_of(stream) == kind


def test_entropy_is_that_of_the_value_of_each_weight():
    """Positions and indices together are what tells every weight's value."""
    rng = np.random.default_rng(0)
    positions = np.flatnonzero(rng.random(3000) < 0.3)
    indices = rng.choice(4, positions.size, p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
    book = Codebook(Dense(np.array([[1, 2, 3, 4]], np.float32)), indices)
    form = Sparse((30, 100), positions, book)
    counts = np.array(list(Counter(form.to_dense().reshape(-1).tolist()).values()))
    expected = -(counts * np.log2(counts / 3000)).sum()
    assert entropy_bits(form) == pytest.approx(expected)
    assert entropy_bits(Dense(np.ones(3, np.float32))) is None
    assert entropy_bits(book) == pytest.approx(
        -(np.bincount(indices) * np.log2(np.bincount(indices) / indices.size)).sum()
    )


def test_levels_are_the_values_that_occur():
    ints = np.array([[-3, 0], [5, 5]], np.int8)
    form = Linear(Dense(np.array([0.5], np.float32)), np.array([1], np.int32), ints)
    assert levels(form) == [-2.0, -0.5, 2.0]
    assert levels(Dense(np.ones(3, np.float32))) is None


def test_a_histogram_counts_what_is_not_zero():
    values = np.concatenate([np.zeros(50), np.linspace(-1, 1, 1000), [np.nan]]).astype(np.float32)
    found = histogram(values)
    assert sum(found["counts"]) + found["beyond"] == 1000
    assert histogram(np.zeros(4, np.float32)) is None
    assert sum(histogram(np.full(4, 2, np.float32))["counts"]) == 4


def test_a_map_shows_where_weights_are():
    values = np.zeros((6, 4), np.float32)
    values[:2, :2] = 5
    values[4, 3] = -1
    found = weight_map(values, 3)
    assert (found["shows"], found["height"], found["width"]) == ("density", 3, 3)
    image = Image.open(io.BytesIO(base64.b64decode(found["png"]))).convert("RGBA")
    opacity = np.asarray(image)[:, :, 3]
    # Columns are cut at 0, 1 and 2.
    assert (opacity > 0).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert opacity[0, 0] == 255
    dense = weight_map(np.arange(1, 13, dtype=np.float32).reshape(3, 4), 256)
    assert (dense["shows"], dense["height"], dense["width"]) == ("magnitude", 3, 4)
    assert weight_map(np.ones(4, np.float32), 256) is None
