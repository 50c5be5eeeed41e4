"""What benchmarks/peers_compression.py computes by itself."""

import dataclasses
import importlib.util
import sys
from itertools import pairwise
from math import inf, log
from pathlib import Path

import numpy as np
import pytest

from cmodel.caffe import load_net
from cmodel.compress import compress, parse_recipe, resolve_recipe
from cmodel.interchange.arrays import write_npz
from cmodel.tensors import Dense

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

NET = """
input: "data" input_shape { dim: 1 dim: 3 }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture(scope="module")
def peers():
    spec = importlib.util.spec_from_file_location(
        "peers_compression", BENCHMARKS / "peers_compression.py"
    )
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up, and it imports what lies beside it.
    sys.modules[spec.name] = module
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))
        del sys.modules[spec.name]


@pytest.fixture(scope="module")
def cases(peers):
    return sys.modules[peers.Case.__module__]


@pytest.fixture(scope="module")
def compared(peers):
    return sys.modules[peers.Row.__module__]


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(NET, "utf-8")
    net = load_net(path, require_weights=False)
    net.parameters["ip/0"] = Dense(np.full((4, 3), 0.5, np.float32))
    net.parameters["ip/1"] = Dense(np.zeros(4, np.float32))
    net.layer("ip").parameters = ["ip/0", "ip/1"]
    return net


def row(peers, kl, size, peer="nncodec", setting=""):
    return peers.Row("lenet", peer, setting, size + 100, size, 1.0, 99.0, kl, 10)


def test_weights_go_to_the_peer_and_come_back(peers, net, tmp_path):
    path = tmp_path / "weights.npz"
    write_npz(net, path)
    with np.load(path, allow_pickle=False) as archive:
        changed = {name: archive[name] + 1 for name in archive.files}
    assert set(changed) == {"ip/0", "ip/1"}
    np.savez(path, **changed)
    again = peers.with_weights(net, path)
    for name, values in changed.items():
        np.testing.assert_array_equal(again.parameters[name].to_dense(), values)
    # The net itself is as it was.
    np.testing.assert_array_equal(net.parameters["ip/0"].to_dense(), np.full((4, 3), 0.5))


@pytest.mark.parametrize("change", ["missing", "shape", "pickle"])
def test_other_weights_than_the_nets_are_refused(peers, net, tmp_path, change):
    path = tmp_path / "weights.npz"
    arrays = {"ip/0": np.ones((4, 3), "f4"), "ip/1": np.ones(4, "f4")}
    if change == "missing":
        del arrays["ip/1"]
    elif change == "shape":
        arrays["ip/0"] = np.ones((3, 4), "f4")
    else:
        arrays["ip/1"] = np.array([None] * 4, dtype=object)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match={"pickle": "pickle"}.get(change, "parameters|shape")):
        peers.with_weights(net, path)


def test_kl_is_of_the_softmax_in_nats(cases):
    scores = np.array([[0.0, log(3.0)], [1000.0, 0.0]], np.float32)
    log_p = cases.log_softmax(scores)
    np.testing.assert_allclose(np.exp(log_p), [[0.25, 0.75], [1, 0]], rtol=1e-6)
    assert cases.mean_kl(log_p, log_p) == 0
    log_q = cases.log_softmax(np.zeros((2, 2), np.float32))
    first = 0.25 * log(0.5) + 0.75 * log(1.5)
    assert cases.mean_kl(log_p, log_q) == pytest.approx((first + log(2)) / 2)
    assert cases.mean_kl(log_p, np.full((2, 2), np.nan)) == inf


def test_scores_are_those_before_the_softmax(cases, net):
    assert cases.scores_blob(net) == "ip"
    net.layers.pop()
    assert cases.scores_blob(net) == "ip"


def test_the_judge_counts_top_1_and_finds_an_equal_net_equal(peers, cases, net, tmp_path):
    judge = cases.Judge(net, [np.eye(3, dtype=np.float32)], np.array([0, 1, 0]))
    top1, kl = judge(net)
    # All scores are equal: the first class is taken.
    assert (top1, kl) == (pytest.approx(200 / 3), 0)
    path = tmp_path / "weights.npz"
    np.savez(path, **{"ip/0": np.eye(4, 3, dtype="f4") * 9, "ip/1": np.zeros(4, "f4")})
    top1, kl = judge(peers.with_weights(net, path))
    assert top1 == pytest.approx(200 / 3)
    assert kl > 1


def test_curves_are_linear_in_logarithms_and_not_extended_to_fewer_bytes(compared):
    curve = [(0.01, 1000), (1.0, 10)]
    assert compared.bytes_at_kl(curve, 0.1) == pytest.approx(100)
    assert compared.bytes_at_kl(curve, 0.01) == pytest.approx(1000)
    assert compared.bytes_at_kl([(inf, 5), *curve], 1.0) == pytest.approx(10)
    # A point that another one beats in both does not count.
    assert compared.bytes_at_kl([(0.1, 2000), *curve], 0.1) == pytest.approx(100)
    assert compared.bytes_at_kl(curve, 0.001) == pytest.approx(1000)
    assert compared.bytes_at_kl(curve, 2) is None
    assert compared.bytes_at_kl([], 0.1) is None


def test_savings_are_at_equal_kl(peers, compared):
    theirs = [row(peers, 0.01, 1000), row(peers, 1.0, 10)]
    fewer = compared.saving(row(peers, 0.1, 75, "ours"), theirs)
    assert fewer["tensor_bytes"] == pytest.approx(25)
    assert fewer["bytes"] == pytest.approx(100 * (1 - 175 / (1100 * 110) ** 0.5))
    text = peers.table([*theirs, row(peers, 0.1, 75, "ours")], 99.1)
    assert "-25.0%" in text
    assert text.splitlines()[0] == "lenet: top-1 99.10 % on 10 images"


def test_the_knob_is_moved_to_no_larger_a_kl(peers):
    tried = []

    def pack_with(knob):
        tried.append(knob)
        # Not quite the line that the search expects.
        return row(peers, knob**1.6 * (1 + knob), int(1000 / knob), "ours", f"{knob:g}")

    known = {}
    best = peers.pack_at_kl(0.04, pack_with, 1.0, known)
    assert 0.04 * 0.98 <= best.kl <= 0.04
    assert len(tried) == len(set(tried)) == len(known) <= 6
    # Points of one target serve the next.
    assert peers.pack_at_kl(0.04, pack_with, 1.0, known) == best
    assert len(tried) == len(known)
    with pytest.raises(ValueError, match="no knob"):
        peers.pack_at_kl(1e-6, lambda knob: row(peers, 0.5, 10), 1.0, {})


def test_a_kl_that_jumps_is_met_by_the_coarsest_point_before_it(peers):
    best = peers.pack_at_kl(
        0.04, lambda knob: row(peers, 0.03 if knob < 1 else 0.5, int(1000 / knob)), 2.0, {}
    )
    assert best.kl == 0.03


@pytest.fixture
def case(cases, net):
    case = cases.Case("lenet", "", ("", ""), None, ())
    rng = np.random.default_rng(0)
    net.parameters["ip/0"] = Dense(rng.standard_normal((4, 3)).astype(np.float32))
    images = rng.standard_normal((40, 3)).astype(np.float32)
    net.inputs["data"] = (40, 3)
    judge = cases.Judge(net, [images[:20]], np.zeros(20, int))
    vars(case).update(original=net, net=net, judge=judge, calibration=images[20:])
    return case


def test_k_means_counts_huffman_codes_codebooks_and_biases(peers, case):
    (packed,) = peers.kmeans_rows("lenet", case, [2], [])
    # 12 indices of a bit, two float32, four biases that are all zero, and what describes them.
    assert 2 + 4 * 2 < packed.tensor_bytes < 70
    assert packed.bytes == packed.tensor_bytes
    assert packed.ratio == pytest.approx(4 * 16 / packed.bytes)
    assert (packed.setting, packed.images) == ("2", 20)
    more = peers.kmeans_rows("lenet", case, [2], [packed.kl / 2])
    assert [r.setting for r in more[:2]] == ["2", "4"]
    assert more[-1].kl <= packed.kl / 2


def test_ours_is_packed_with_what_the_search_found(peers, case):
    ours = peers.Ours("lenet", case, resolve_recipe("rdo"))
    ours.search(0.01)
    best = ours.at_kl(0.01)
    assert 0 < best.kl <= 0.01
    assert 0 < best.tensor_bytes < best.bytes
    assert best.setting in {f"{knob:.6g}" for knob in ours.points}


def test_the_recipes_are_valid(peers, cases, net):
    assert parse_recipe(cases.FOLD, "fold").steps[0].method.name == "fold.batchnorm"
    packed = compress(net, parse_recipe(peers.KMEANS.replace("KNOB", "2"), "k-means"))
    assert packed.parameters["ip/0"].shape == (4, 3)


def test_results_are_read_as_they_are_written(peers, tmp_path):
    path = tmp_path / "rows.json"
    document = peers.Document.read(path)
    assert document.rows == {}
    points = [dataclasses.replace(row(peers, 0.5, 10), net="lenet_bvlc")]
    document.rows["lenet_bvlc"] = points
    document.top1["lenet_bvlc"] = 99.0
    document.searched["lenet_bvlc"] = {"factors": {"ip1": 0.5}, "changes": {}}
    document.write(path, "make it")
    assert peers.Document.read(path) == document
    committed = peers.Document.read(peers.STORED).rows
    assert committed
    for name, points in committed.items():
        assert [p.setting for p in points] == [f"qp {qp}" for qp in peers.CASES[name].qps]
        assert all(0 < p.tensor_bytes < p.bytes for p in points)
        assert all(a.bytes > b.bytes for a, b in pairwise(points))
