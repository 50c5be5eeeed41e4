"""`cmodel sweep` as a user and as a script meet it."""

from __future__ import annotations

import pytest

from cmodel.sweep import run as running

GRID = """
[[net]]
name = "toy"
prototxt = "model/deploy.prototxt"
weights = "model/net.caffemodel"
data = "model/data.npz"
trained = true
[[method]]
preset = "linear8"
[[method]]
[[method.step]]
method = "prune.obs"
density = 0.5
"""


@pytest.fixture
def grid(model, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def test_rows_front_and_failures(run, grid, tmp_path):
    out = tmp_path / "r.jsonl"
    result = run("sweep", grid, "-o", out, "--json")
    assert result.status == 0
    facts = result.json
    assert facts["schema"] == "cmodel.sweep-summary/1"
    assert [row["label"] for row in facts["rows"]] == ["linear8", "prune.obs density=0.5"]
    assert facts["failed"] == 1
    assert facts["pareto"] == {"toy": [{"method": "linear8", "label": "linear8"}]}
    assert "needs images to calibrate" in result.err
    assert len(out.read_text().splitlines()) == 2
    again = run("sweep", grid, "-o", out)
    assert "toy (trained weights), 60 images, top-1 before" in again.out
    assert "linear8 " in again.out
    assert "2 settings, 1 failed" in again.out
    assert len(out.read_text().splitlines()) == 2


def test_a_bad_grid(run, grid, tmp_path):
    grid.write_text(GRID.replace("linear8", "linear9"))
    result = run("sweep", grid, "-o", tmp_path / "r.jsonl")
    assert result.status == 2
    assert "there is no preset `linear9`" in result.err
    assert not (tmp_path / "r.jsonl").exists()


def test_an_interrupted_sweep_says_that_its_rows_are_there(run, grid, tmp_path, monkeypatch):
    def measure(task, tell):
        if task["recipe"]["step"][0]["method"] == "prune.obs":
            raise KeyboardInterrupt
        return {"versions": {}, "bytes": 10}

    monkeypatch.setattr(running, "measure_setting", measure)
    out = tmp_path / "r.jsonl"
    result = run("sweep", grid, "-o", out)
    assert result.status == 130
    assert f"the rows so far are in {out}" in result.err
    assert len(out.read_text().splitlines()) == 1
