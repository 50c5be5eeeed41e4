"""What pictures of weights are drawn from, and what a container says of itself."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from tests.nets import toy_net
from tests.viewer.node import NODE, evaluate

import cmodel
from cmodel.container import Container

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

SCRIPT = """
    const values = Float32Array.from(argument.values, (v) => v ?? NaN);
    const found = statistics.statisticsOf(values, argument.shape);
    if (found.map) found.map = { ...found.map, shades: [...found.map.shades], signs: [...found.map.signs] };
    return found;
"""


def statistics(values):
    plain = [None if np.isnan(v) else float(v) for v in values.reshape(-1)]
    return evaluate(
        SCRIPT,
        {"statistics": "viewer/src/statistics.mjs"},
        {"values": plain, "shape": values.shape},
    )


def test_moments_and_histogram():
    values = np.random.default_rng(1).normal(0.5, 2, (50, 40)).astype(np.float32)
    values[::2, ::3] = 0
    found = statistics(values)
    assert found["count"] == 2000
    assert found["zeros"] == int((values == 0).sum())
    assert found["mean"] == pytest.approx(values.mean(), abs=1e-5)
    assert found["deviation"] == pytest.approx(values.std(), rel=1e-5)
    assert (found["min"], found["max"]) == (values.min(), values.max())
    bins = found["histogram"]
    assert sum(bins["counts"]) + bins["beyond"] == np.count_nonzero(values)
    assert found.get("levels") is None
    counts, _ = np.histogram(values[values != 0], 60, (bins["low"], bins["high"]))
    assert np.abs(counts - bins["counts"]).max() <= 1


def test_values_that_weights_share_are_found_with_their_counts():
    rng = np.random.default_rng(2)
    centroids = np.array([-1.5, -0.25, 0, 0.75], np.float32)
    values = centroids[rng.integers(0, 4, (30, 30))]
    found = statistics(values)["levels"]
    assert found["values"] == centroids.tolist()
    assert found["counts"] == [int((values == c).sum()) for c in centroids]


def test_the_map_shows_each_weight_of_a_small_matrix():
    values = np.array([[0, 1, -1], [0.5, 0, 0]], np.float32)
    shown = statistics(values)["map"]
    assert (shown["height"], shown["width"], shown["shows"]) == (2, 3, "weights")
    assert shown["signs"] == [0, 127, -127, 127, 0, 0]
    assert shown["shades"][1] == shown["shades"][2] > shown["shades"][3] > shown["shades"][0] == 0


def test_the_map_of_a_large_sparse_matrix_shows_its_density():
    values = np.zeros((448, 896), np.float32)
    values[:224] = -1
    shown = statistics(values)["map"]
    assert (shown["height"], shown["width"], shown["shows"]) == (224, 224, "density")
    shades = np.reshape(shown["shades"], (224, 224))
    assert (shades[:112] == 255).all()
    assert (shades[112:] == 0).all()


def test_nothing_and_not_a_number():
    empty = statistics(np.zeros((0, 3), np.float32))
    assert empty["count"] == 0
    assert empty.get("histogram") is None
    odd = statistics(np.array([np.nan, 1, 2, 3], np.float32))
    assert odd["infinite"] == 1
    assert odd["mean"] == 2


@pytest.mark.parametrize("preset", ["deep-compression", "linear8", "kmeans-huffman", "lossless"])
def test_the_bytes_of_each_tensor_are_those_of_the_reader(tmp_path, preset):
    path = tmp_path / "toy.cmodel"
    cmodel.save(cmodel.compress(toy_net(), preset), path)
    script = """
        const bytes = Uint8Array.from(atob(argument), (c) => c.charCodeAt(0));
        const container = new reader.Container(bytes, 2 ** 30, 2 ** 30);
        return facts.factsOf(container);
    """
    modules = {
        "reader": "spec/readers/js/cmodel-reader.mjs",
        "facts": "viewer/src/facts.mjs",
    }
    found = evaluate(script, modules, base64.b64encode(path.read_bytes()).decode())
    stored = Container(path)
    assert {t["name"]: t["bytes"] for t in found["tensors"]} == {
        t.name: t.size for t in stored.tensors
    }
    assert all(sum(t["kinds"].values()) == t["bytes"] for t in found["tensors"])
    assert found["parameters"] == sum(t["elements"] for t in found["tensors"])
    assert found["size"] == path.stat().st_size
