"""What benchmarks/peers.py computes by itself, with engines that are not there."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OWN = ("peers", "peer_process", "peer_statistics", "peer_worker", "environments", "make_net")
CELL = {"net": "lenet", "batch": 1, "threads": 2}

# Answers like peer_worker.py: a version, then the times that it was given, then its end.
FAKE = """
import json, sys
print(json.dumps({"version": "1.2"}), flush=True)
for seconds in map(float, sys.argv[1:]):
    if not sys.stdin.readline():
        break
    print(json.dumps({"seconds": seconds, "cpu_seconds": 2 * seconds}), flush=True)
sys.exit("no more times")
"""


@pytest.fixture(scope="module")
def load():
    """Import a module of the folder of benchmarks."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in OWN:
            sys.modules.pop(name, None)


@pytest.fixture
def fake(load, tmp_path):
    """Return processes that answer with the given times."""
    module, started = load("peer_process"), []

    def make(name, code=FAKE, times=()):
        command = [sys.executable, "-c", code, *map(str, times)]
        started.append(module.PeerProcess(name, Path(), tmp_path, 1, 1, command))
        return started[-1]

    yield make
    for process in started:
        process.close()


def test_the_ratio_is_that_of_the_medians(load):
    ratio, (low, high) = load("peer_statistics").bootstrap_ratio([2, 4, 9], [1, 2, 3])
    assert ratio == 2
    assert 4 / 3 <= low <= 2 <= high <= 9


def test_what_slows_a_round_for_both_leaves_the_ratio(load):
    slow = np.random.default_rng(0).uniform(1, 10, 40)
    ratio, interval = load("peer_statistics").bootstrap_ratio(3 * slow, slow)
    assert (ratio, *interval) == pytest.approx((3, 3, 3))


def test_the_interval_narrows_with_more_rounds(load):
    rng, widths = np.random.default_rng(0), []
    for count in (10, 1000):
        a, b = rng.lognormal(0, 0.3, (2, count))
        _, (low, high) = load("peer_statistics").bootstrap_ratio(a, b)
        assert low < 1 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_have_to_be_paired(load, ours, theirs):
    with pytest.raises(ValueError, match="rounds"):
        load("peer_statistics").bootstrap_ratio(ours, theirs)


def test_errors_are_relative_to_the_largest_magnitude(load):
    error = load("peer_statistics").relative_error
    expected = np.array([[0.0, -4.0]])
    assert error(np.array([1.0, -4.0], np.float32), expected) == 0.25
    assert error(np.array([np.nan, -4.0]), expected) == float("inf")
    with pytest.raises(ValueError, match="3 values"):
        error(np.zeros(3), expected)


def test_engines_take_turns_and_who_fails_is_named(load, fake):
    peers = load("peers")
    processes = {"cmodel-exact": fake("cmodel-exact", times=range(2, 30)), "mnn": fake("mnn")}
    assert [process.start() for process in processes.values()] == ["1.2", "1.2"]
    wall, cpu, failed = peers.interleave(processes, 0.0)
    assert wall == {"cmodel-exact": [2, 3, 4, 5, 6, 7, 8]}
    assert cpu == {"cmodel-exact": [4, 6, 8, 10, 12, 14, 16]}
    assert failed == {"mnn": "it ended with status 1: no more times"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_engine", "ended with status 1: ModuleNotFoundError"),
        ("""print('{"error": "ImportError: no engine"}', flush=True)""", "ImportError: no engine"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal SIGKILL"),
    ],
)
def test_an_engine_that_does_not_start_says_why(load, fake, code, reason):
    with pytest.raises(load("peer_process").PeerError, match=reason):
        fake("torch", code).start()


def test_the_worker_runs_this_engine(load, tmp_path):
    peers, processes = load("peers"), load("peer_process")
    name, shape = peers.prepare("lenet", tmp_path)
    assert (name, shape) == ("lenet", (1, 1, 28, 28))
    np.save(tmp_path / "input.npy", np.ones((2, 1, 28, 28), np.float32))
    process = processes.PeerProcess("cmodel-exact", Path(sys.executable), tmp_path, 1, 2)
    try:
        assert process.start() == peers.cmodel.__version__
        assert set(process.turn(0.0)) == {"seconds", "cpu_seconds"}
    finally:
        process.close()
    output = np.load(tmp_path / "output-cmodel-exact.npy")
    assert output.shape == (2, 10)
    assert output.sum(1) == pytest.approx([1, 1], rel=1e-5)


def test_other_outputs_make_no_peer(load, tmp_path):
    for name, values in {"a": [1, 2], "b": [1, 2.1], "c": [1], "cmodel-exact": [1, 2]}.items():
        np.save(tmp_path / f"output-{name}.npy", np.array(values, np.float32))
    check = load("peers").check_outputs
    errors, refused = check(tmp_path, ["a", "b", "c"], tmp_path / "output-cmodel-exact.npy")
    assert errors == {"a": 0}
    assert set(refused) == {"b", "c"}
    assert "max_error 5.00e-02" in refused["b"]
    # Without the float64 outputs ours are the reference, and have no error of their own.
    errors, _ = check(tmp_path, ["cmodel-exact", "a"], None)
    assert errors == {"cmodel-exact": None, "a": 0}


def test_the_document(load):
    peers = load("peers")
    wall = {"cmodel-exact": [0.004] * 3, "mnn": [0.002] * 3, "torch": [0.003] * 3}
    errors = {"cmodel-exact": 1e-7, "mnn": 2e-6, "torch": 0.0}
    result = peers.Result(versions={"mnn": "1.2"})
    result.rows, result.ratios = peers.summarise(CELL, wall, wall, errors)
    result.missing = [{**CELL, "engine": "ncnn", "reason": "not installed"}]
    document = json.loads(json.dumps(peers.document(result, 1.0)))
    assert document["rows"][1] == {
        **CELL, "engine": "mnn", "median_ms": 2, "cpu_ms": 2, "max_error": 2e-6, "rounds": 3,
    }  # fmt: skip
    assert document["ratios"] == [
        {
            **CELL, "engine": "cmodel-exact", "best_peer": "mnn",
            "ratio": 0.5, "interval": [0.5, 0.5], "cpu_ratio": 0.5,
        }
    ]  # fmt: skip
    assert document["missing"][0]["reason"] == "not installed"
    assert document["machine"]["cores"] >= 1
    assert document["versions"] == {"mnn": "1.2"}


def test_kept_figures_replace_those_of_their_cell(load, tmp_path):
    peers, path = load("peers"), tmp_path / "peers.json"

    def document(median, machine="one", **cell):
        row = {**CELL, **cell, "median_ms": median}
        kinds = {"rows": [row], "ratios": [], "missing": []}
        return {"machine": machine, "versions": {}, "seconds": 1.0, **kinds}

    def kept(new):
        peers.keep(new, path)
        return [row["median_ms"] for row in json.loads(path.read_text("utf-8"))["rows"]]

    assert kept(document(1)) == [1]
    assert kept(document(2, threads=1)) == [1, 2]
    assert kept(document(3)) == [2, 3]
    assert kept(document(4, machine="another")) == [4]


def test_the_settings_of_blas_do_not_reach_the_engines(load, fake, monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        monkeypatch.setenv(name, "1")
    code = "import json, os; print(json.dumps({'version': ' '.join(os.environ)}), flush=True)"
    names = fake("mnn", code).start().split()
    assert not [name for name in names if name.startswith("OPENBLAS_")]
    assert "OMP_NUM_THREADS" in names
