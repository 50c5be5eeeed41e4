"""Work on dask: the same results as here, whatever happens to a worker, and clear errors."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cmodel._version import __version__
from cmodel.cli import main, parse
from cmodel.cli.eval_command import evaluate_by
from cmodel.cli.terminal import Terminal
from cmodel.errors import ExecutorError
from cmodel.executor import Local, open_executor
from cmodel.sweep import load_grid, read_rows, sweep


@pytest.fixture
def run(capsys):
    """Call a command: (status, what it printed, what it said)."""

    def call(*words):
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return call


def evaluation(files):
    model = [files / "deploy.prototxt", "--weights", files / "net.caffemodel"]
    return ["eval", *model, "--data", files / "data.npz", "--batch", 2]


def figures(rows):
    """What a sweep measures, but for times and memory."""
    varying = ("compress_seconds", "decode_seconds", "eval_seconds", "peak_memory")
    return [{key: row[key] for key in row if key not in varying} for row in rows]


def test_a_sweep_that_loses_a_worker(cluster, files, tmp_path):
    grid = load_grid(files / "grid.toml")
    here = sweep(grid, tmp_path / "here.jsonl")
    victim, lost = next(iter(cluster.workers)), set()

    def kill(event):
        if event.row is not None and not lost:
            lost.update(cluster.kill_busy(victim))

    with open_executor(cluster.url) as executor:
        assert executor.width == 3
        there = sweep(grid, tmp_path / "there.jsonl", executor=executor, on_progress=kill)
        starts = cluster.starts(executor)
    assert figures(there) == figures(here)
    assert figures(sorted(read_rows(tmp_path / "there.jsonl"), key=str)) == figures(
        sorted(there, key=str)
    )
    assert len(starts) == len(here) == 6
    again = {key for key, count in starts.items() if count > 1}
    assert again
    assert again <= lost
    assert set(starts.values()) == {1, 2}


def test_an_evaluation_that_loses_a_worker(cluster, files):
    args = parse([str(word) for word in evaluation(files)])
    with Local() as executor:
        here = evaluate_by(executor, args, Terminal(verbosity=-1), lambda *_: None)
    victim, lost, seen = next(iter(cluster.workers)), set(), []

    def kill(done, total, what):
        seen.append((done, total))
        if not lost:
            lost.update(cluster.kill_busy(victim))

    with open_executor(cluster.url) as executor:
        # Frozen before it has any: it cannot answer faster than it is killed.
        cluster.stop(victim)
        there = evaluate_by(executor, args, Terminal(verbosity=-1), kill)
        starts = cluster.starts(executor)
    assert (there.top1, there.top5, there.images) == (here.top1, here.top5, 61)
    for name in ("correct", "correct5", "indices"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    assert len(starts) == 16  # of two batches of two, the last of one image
    assert {key for key, count in starts.items() if count > 1} == lost
    assert seen[-1] == (61, 61)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_commands_print_the_same(run, cluster, files, tmp_path):
    where = ["--executor", cluster.url]
    model = evaluation(files)[1:]
    for command in (["eval", *model], ["sensitivity", *model, "--limit", "40"]):
        found = [run(*command, "--json", *more) for more in ([], where)]
        for document in found:
            assert document[0] == 0, document[2]
        here, there = (json.loads(document[1]) for document in found)
        here.pop("seconds", None)
        there.pop("seconds", None)
        assert there == here


def test_a_list_of_models(run, cluster, files, tmp_path):
    lines = [
        "deploy.prototxt net.caffemodel a",
        "deploy.prototxt none b",
        "deploy.prototxt net.caffemodel c",
    ]
    (files / "models.txt").write_text("\n".join(lines))
    results = []
    for place, more in (("here", []), ("there", ["--executor", cluster.url])):
        call = ["pack", "--list", files / "models.txt", "-o", tmp_path / place, "--json"]
        status, out, _ = run(
            *call, "--preset", "deep-compression", "--data", files / "data.npz", *more
        )
        assert status == 3
        rows = json.loads(out)["models"]
        for row in rows:
            if row["result"] is not None:
                row["result"].pop("output")
        results.append(rows)
    assert results[0] == results[1]
    assert [row["status"] for row in results[0]] == [0, 3, 0]
    for name in "ac":
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_pieces_that_lose_too_many_workers(few, files, tmp_path):
    cluster = few(2, allowed_failures=0)
    (files / "grid.toml").write_text((files / "grid.toml").read_text().replace(", 5, 6]", "]"))
    grid, out = load_grid(files / "grid.toml"), tmp_path / "r.jsonl"
    victim, lost = next(iter(cluster.workers)), set()

    def kill(event):
        if event.row is not None and not lost:
            lost.update(cluster.kill_busy(victim))

    with (
        open_executor(cluster.url) as executor,
        pytest.raises(ExecutorError, match="of 4 pieces lost their workers too often"),
    ):
        sweep(grid, out, executor=executor, on_progress=kill)
    # All others are there, and the same call does what is missing.
    assert len(read_rows(out)) == 4 - len(lost)
    with open_executor(cluster.url) as executor:
        assert len(sweep(grid, out, executor=executor)) == 4
        assert len(cluster.starts(executor)) == len(lost)


def test_a_file_that_only_the_caller_sees(run, cluster, files, monkeypatch):
    monkeypatch.chdir(files)
    # For each process a place of its own.
    own = evaluation(Path("/proc/self/cwd"))
    if not own[1].exists():
        pytest.skip("needs /proc")
    assert run(*own)[0] == 0
    status, _, err = run(*own, "--executor", cluster.url)
    assert status == 3
    assert "cannot read it: No such file or directory" in err
    assert "/proc/self/cwd/deploy.prototxt" in err
    assert "on the worker tcp://127.0.0.1:" in err
    assert "the same paths as the caller" in err


OTHER = "import cmodel._version as v; v.__version__ = '0.0.1'; "
NONE = "import sys; sys.modules['cmodel'] = None; "


def test_workers_without_this_version(run, few, files):
    from tests.scaleout.conftest import WORKER

    cluster = few(0)
    for program, message in (
        (OTHER, f"the worker has cmodel 0.0.1, the caller {__version__}"),
        (NONE, "the worker has no cmodel, or an old one"),
    ):
        name = cluster.add_worker(program + WORKER)
        status, _, err = run(*evaluation(files), "--executor", cluster.url)
        assert status == 4
        assert message in err
        assert "on the worker tcp://" in err
        cluster.kill(name)
        cluster.settle()


def test_no_scheduler_and_no_workers(run, few, files):
    import dask

    cluster = few(0)
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        status, _, err = run(*evaluation(files), "--executor", "dask://127.0.0.1:1")
        assert (status, err.count("error:")) == (3, 1)
        assert "cannot reach the scheduler" in err
        status, _, err = run(*evaluation(files), "--executor", cluster.url)
        assert status == 3
        assert "the scheduler has no workers" in err


def test_a_scheduler_that_goes(few, files, tmp_path):
    cluster = few(1)
    grid, out = load_grid(files / "grid.toml"), tmp_path / "r.jsonl"

    def kill(event):
        cluster.processes[0].kill()

    with (
        open_executor(cluster.url) as executor,
        pytest.raises(ExecutorError, match="the scheduler is gone"),
    ):
        sweep(grid, out, executor=executor, on_progress=kill)
    assert len(read_rows(out)) >= 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_is_used_where_dask_is_set_up_for_it(run, few, files, tmp_path):
    import dask

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"]
    made += ["-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(made, check=True, capture_output=True)
    names = {"ca-file": certificate, "client.cert": certificate, "client.key": key}
    options = [f"--tls-{name}" for name in ("ca-file", "cert", "key")]
    words = [w for pair in zip(options, (certificate, certificate, key), strict=True) for w in pair]
    with dask.config.set({f"distributed.comm.tls.{name}": str(at) for name, at in names.items()}):
        cluster = few(1, options=("--protocol", "tls", *words), worker_options=words)
        assert cluster.address.startswith("tls://")
        status, _, err = run(*evaluation(files), "--executor", cluster.url)
    assert (status, err) == (0, "")
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        status, _, err = run(*evaluation(files), "--executor", cluster.url)
    assert status == 3
    assert "cannot reach the scheduler" in err
