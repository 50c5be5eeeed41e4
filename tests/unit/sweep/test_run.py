import json
import os
import signal

import numpy as np
import pytest
from tests.nets import toy_net

import cmodel
from cmodel.caffe import print_prototxt, write_caffemodel
from cmodel.errors import InputError, OutputError
from cmodel.executor import child
from cmodel.sweep import SCHEMA, key_of, load_grid, read_rows, sweep
from cmodel.sweep import run as running
from cmodel.sweep.worker import versions

GRID = """
[[net]]
name = "toy"
prototxt = "toy.prototxt"
weights = "toy.caffemodel"
trained = {trained}
{data}
[[method]]
[[method.step]]
method = "quantize.kmeans"
k = {k}
"""


@pytest.fixture
def make(tmp_path):
    net = toy_net()
    (tmp_path / "toy.prototxt").write_text(print_prototxt(net))
    with (tmp_path / "toy.caffemodel").open("wb") as file:
        write_caffemodel(net, file)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "toy.npz", x=x, y=rng.integers(0, 6, 40))

    def grid(k="[2, 4]", trained="true", data='data = "toy.npz"', more=""):
        (tmp_path / "g.toml").write_text(GRID.format(k=k, trained=trained, data=data) + more)
        return load_grid(tmp_path / "g.toml")

    return grid


@pytest.fixture
def measured(monkeypatch):
    """Replace the process of a setting by a count of the calls."""
    calls = []

    def measure(task, tell):
        tell(0, 1, "")
        calls.append(task["recipe"]["step"][0]["k"])
        return {"versions": versions(), "bytes": 10, "loss": 0.5, "kl": 0.25}

    monkeypatch.setattr(running, "measure_setting", measure)
    return calls


def test_a_row_says_what_the_package_computes(make, tmp_path):
    grid, out = make(), tmp_path / "r.jsonl"
    rows = sweep(grid, out, seed=3, threads=1)
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    row = rows[1]
    net = toy_net()
    packed = cmodel.compress(net, grid_recipe(tmp_path, 4), seed=3)
    assert row["bytes"] == cmodel.save(packed, tmp_path / "x.cmodel")
    count = net.parameter_count()
    assert row["parameters"] == count
    assert row["ratio"] == 4 * count / row["bytes"]
    assert row["bits_per_weight"] == 8 * row["bytes"] / count
    data = np.load(tmp_path / "toy.npz")
    before = cmodel.Engine(net).run({"data": data["x"]})["prob"]
    after = cmodel.Engine(packed).run({"data": data["x"]})["prob"]
    assert row["top1"] == pytest.approx(100 * (after.argmax(1) == data["y"]).mean())
    assert row["baseline_top1"] == pytest.approx(100 * (before.argmax(1) == data["y"]).mean())
    assert row["loss"] == pytest.approx(row["baseline_top1"] - row["top1"])
    assert row["interval"][0] <= row["loss"] <= row["interval"][1]
    p, q = (np.maximum(x.astype(float), 1e-12) for x in (before, after))
    assert row["kl"] == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-4)
    assert row["agreement"] == pytest.approx(100 * (before.argmax(1) == after.argmax(1)).mean())
    assert row["images"] == 40
    assert row["error"] is None
    assert row["peak_memory"] > 1e6
    for name in ("compress_seconds", "decode_seconds", "eval_seconds"):
        assert row[name] > 0
    assert (row["schema"], row["seed"], row["trained"]) == (SCHEMA, 3, True)
    assert row["versions"]["cmodel"] == cmodel.__version__


def grid_recipe(folder, k):
    path = folder / "recipe.toml"
    path.write_text(f'name = "quantize.kmeans"\n[[step]]\nmethod = "quantize.kmeans"\nk = {k}\n')
    return path


def test_of_random_weights_no_accuracy_is_told(make, tmp_path):
    (row,) = sweep(make(k="4", trained="false"), tmp_path / "r.jsonl")
    assert row["trained"] is False
    assert (row["top1"], row["baseline_top1"], row["loss"], row["interval"]) == (None,) * 4
    assert row["kl"] > 0
    assert row["agreement"] <= 100


def test_without_data_only_bytes_and_times_are_told(make, tmp_path):
    (row,) = sweep(make(k="4", data=""), tmp_path / "r.jsonl")
    assert row["bytes"] > 0
    assert (row["images"], row["kl"], row["eval_seconds"], row["error"]) == (None,) * 4


def test_a_setting_that_fails_is_a_row(make, tmp_path):
    more = '[[method]]\n[[method.step]]\nmethod = "prune.obs"\ndensity = 0.5\n'
    good, bad = sweep(make(k="4", more=more), tmp_path / "r.jsonl")
    assert good["error"] is None
    assert bad["error"]["name"] == "recipe"
    assert "needs images to calibrate" in bad["error"]["message"]
    assert bad["bytes"] is None


def test_a_net_that_fails_is_a_row_for_each_setting(make, tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"nonsense")
    rows = sweep(make(data='data = "bad.npy"'), tmp_path / "r.jsonl")
    assert [row["error"]["name"] for row in rows] == ["data", "data"]


def test_a_process_that_dies_is_a_row(make, tmp_path, monkeypatch):
    def killed(folder):
        (folder / "stderr").write_text("first\nlast")
        return -signal.SIGKILL

    monkeypatch.setattr(child, "_run", killed)
    rows = sweep(make(k="4"), tmp_path / "r.jsonl")
    assert rows[0]["error"]["name"] == "crash"
    assert rows[0]["error"]["message"] == "the process was ended by the signal 9"
    assert rows[0]["error"]["notes"] == ["first", "last"]


def test_what_is_there_is_not_measured_again(make, tmp_path, measured):
    out = tmp_path / "r.jsonl"
    first = sweep(make(), out)
    assert len(measured) == 2
    before = out.read_bytes()
    assert sweep(make(), out) == first
    assert len(measured) == 2
    assert out.read_bytes() == before
    grown = sweep(make(k="[2, 3, 4]"), out)
    assert measured[2:] == [3]
    assert [row["label"][-1] for row in grown] == ["2", "3", "4"]
    sweep(make(), out, seed=1)
    sweep(make(data='data = "toy.npz"\nlimit = 5'), out)
    assert len(measured) == 7


def test_other_weights_are_measured_anew(make, tmp_path, measured):
    sweep(make(), tmp_path / "r.jsonl")
    with (tmp_path / "toy.caffemodel").open("wb") as file:
        write_caffemodel(toy_net(1), file)
    sweep(make(), tmp_path / "r.jsonl")
    assert len(measured) == 4


@pytest.mark.parametrize("cut", [1, 2, 30, 300])
def test_a_torn_line_is_done_again(make, tmp_path, measured, cut):
    out = tmp_path / "r.jsonl"
    rows = sweep(make(), out)
    whole = out.read_bytes()
    os.truncate(out, len(whole) - cut)
    assert read_rows(out) == rows[:1]
    assert sweep(make(), out) == rows
    assert out.read_bytes() == whole
    assert len(measured) == 3


def test_a_sweep_that_is_interrupted_goes_on(make, tmp_path, monkeypatch, measured):
    out, count = tmp_path / "r.jsonl", running.measure_setting

    def interrupted(task, tell):
        if task["recipe"]["step"][0]["k"] == 3:
            raise KeyboardInterrupt
        return count(task, tell)

    monkeypatch.setattr(running, "measure_setting", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(make(k="[2, 3, 4]"), out)
    assert len(read_rows(out)) == 1
    monkeypatch.setattr(running, "measure_setting", count)
    assert len(sweep(make(k="[2, 3, 4]"), out)) == 3
    assert measured == [2, 3, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b"hello",
        b"{}\n",
        b'{"schema": "cmodel.eval/1"}\n',
        b'{"schema": "cmodel.eval/1"',
    ],
)
def test_a_file_of_something_else_is_left_alone(make, tmp_path, measured, content):
    out = tmp_path / "r.jsonl"
    out.write_bytes(content)
    with pytest.raises(InputError, match="no row of a sweep"):
        sweep(make(), out)
    assert out.read_bytes() == content
    assert measured == []


def test_files_that_cannot_be_had(make, tmp_path, measured):
    with pytest.raises(OutputError, match="cannot write"):
        sweep(make(), tmp_path / "none" / "r.jsonl")
    grid = make()
    (tmp_path / "toy.caffemodel").unlink()
    with pytest.raises(InputError, match="cannot read it"):
        sweep(grid, tmp_path / "r.jsonl")


def test_events_and_keys(make, tmp_path, measured):
    seen = []
    rows = sweep(make(), tmp_path / "r.jsonl", on_progress=seen.append)
    assert [(event.done, event.total, event.row is None) for event in seen] == [
        (0, 2, True),
        (1, 2, False),
        (1, 2, True),
        (2, 2, False),
    ]
    assert len({key_of(row) for row in rows}) == 2
