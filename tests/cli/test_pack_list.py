"""`cmodel pack --list`: many models by one call."""

from __future__ import annotations

import pytest

from cmodel.cli import parse


@pytest.fixture
def listed(model, tmp_path):
    def write(*lines):
        path = tmp_path / "models.txt"
        path.write_text("\n".join(lines))
        return path

    return write


GOOD = "model/deploy.prototxt model/net.caffemodel"


def test_each_is_what_a_call_of_its_own_gives(run, model, listed, tmp_path):
    path = listed("# two models", f"{GOOD} a.cmodel", "", f"{GOOD} 'b c.cmodel'  # again")
    out = tmp_path / "packed" / "here"
    result = run("pack", "--list", path, "-o", out, "--preset", "linear8", "--data", model.data)
    assert result.status == 0, result.err
    assert result.out.splitlines()[2].startswith("a.cmodel")
    assert result.out.splitlines()[2].endswith("ok")
    assert "2 models, 0 failed; " in result.out
    one = tmp_path / "one.cmodel"
    alone = run(
        "pack", model.prototxt, model.weights, "-o", one, "--preset", "linear8", "--data",
        model.data, "--json",
    ).json  # fmt: skip
    assert (out / "a.cmodel").read_bytes() == one.read_bytes()
    assert (out / "b c.cmodel").read_bytes() == one.read_bytes()
    again = run(
        "pack", "--list", path, "-o", out, "--preset", "linear8", "--data", model.data, "--json",
        "--force",
    ).json  # fmt: skip
    assert again["schema"] == "cmodel.pack-list/1"
    assert [row["name"] for row in again["models"]] == ["a.cmodel", "b c.cmodel"]
    for name in ("bytes_after", "kl", "top1_after", "layers"):
        assert again["models"][0]["result"][name] == alone[name]


def test_a_model_that_fails_leaves_the_others(run, listed, tmp_path):
    path = listed(f"{GOOD} a.cmodel", "model/none.prototxt model/net.caffemodel b.cmodel")
    result = run("pack", "--list", path, "-o", tmp_path / "out", "--preset", "linear8", "--json")
    assert result.status == 3
    good, bad = result.json["models"]
    assert (good["status"], good["error"]) == (0, None)
    assert (bad["status"], bad["result"]) == (3, None)
    assert "none.prototxt" in bad["error"]["where"]
    assert "b.cmodel: " in result.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.cmodel"]


def test_a_target_that_is_missed_is_a_failure_with_a_file(run, model, listed, tmp_path):
    path = listed(f"{GOOD} a.cmodel")
    out = tmp_path / "out"
    result = run("pack", "--list", path, "-o", out, "--size", "100", "--data", model.data, "--json")
    assert result.status == 1
    (row,) = result.json["models"]
    assert row["error"]["name"] == "check-failed"
    assert row["result"]["bytes_after"] == (out / "a.cmodel").stat().st_size


def test_what_is_there_stays(run, listed, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.cmodel").write_text("mine")
    result = run("pack", "--list", listed(f"{GOOD} a.cmodel", f"{GOOD} b.cmodel"), "-o", out)
    assert result.status == 2
    assert "exists already" in result.err
    assert [path.name for path in out.iterdir()] == ["b.cmodel"]
    assert (out / "b.cmodel").read_text() == "mine"


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([], "names no models"),
        (["deploy.prototxt"], "2 or 3 words, not 1"),
        (["a b c d"], "2 or 3 words, not 4"),
        ([f"{GOOD} ../a.cmodel"], "no name of a file"),
        ([f"{GOOD} a", f"{GOOD} a"], "two models"),
        (["'a b"], "does not parse"),
    ],
)
def test_bad_lists(run, listed, tmp_path, lines, match):
    result = run("pack", "--list", listed(*lines), "-o", tmp_path / "out")
    assert result.status == 2
    assert match in result.err
    assert not (tmp_path / "out").exists()


def test_bad_calls(run, model, listed, tmp_path):
    out = tmp_path / "out"
    path = listed(f"{GOOD} a.cmodel")
    assert "does not go with DEPLOY" in run("pack", model.prototxt, "--list", path, "-o", out).err
    assert "with --list" in run("pack", "-o", out).err
    call = ("pack", model.prototxt, model.weights, "-o", out, "--executor", "dask://127.0.0.1:1")
    assert "--executor goes with --list" in run(*call).err
    assert run("pack", "--list", tmp_path / "none.txt", "-o", out).status == 3


def test_the_model_may_stand_after_options():
    for words in (
        ["-o", "out", "a.prototxt", "b.caffemodel"],
        ["a.prototxt", "-o", "out", "b.caffemodel"],
        ["a.prototxt", "b.caffemodel", "-o", "out"],
    ):
        args = parse(["pack", *words])
        assert (args.model, args.weights) == ("a.prototxt", "b.caffemodel")
