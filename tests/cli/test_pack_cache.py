"""Statistics that `pack` keeps: the same file with and without them, and where they lie."""

from __future__ import annotations

import shutil

import pytest

from cmodel.compress import Cache

CALIBRATED = ("--preset", "rdo", "--calib-images", 40, "-f")


@pytest.fixture
def packed(run, model, tmp_path, monkeypatch):
    """Pack the toy net with options; return the bytes of the file and what was said."""
    monkeypatch.setitem(Cache.__init__.__kwdefaults__, "least_seconds", 0.0)

    def call(*options):
        out = tmp_path / "x.cmodel"
        files = ("pack", model.prototxt, model.weights, "-o", out, "--calib", model.data)
        result = run(*files, *CALIBRATED, *options)
        assert result.status == 0, result.err
        return out.read_bytes(), result.err

    return call


def test_it_lies_beside_the_weights_and_changes_nothing(packed, model):
    folder = model.weights.with_name("net.caffemodel.cmodel-cache")
    expected, _ = packed("--no-cache")
    assert not folder.exists()
    for _ in range(2):
        data, told = packed()
        assert data == expected
        assert "warning" not in told
    files = list(folder.glob("*.npz"))
    # Sensitivities, Gram matrices, variances.
    assert len(files) == 3
    for file in files:
        file.write_bytes(file.read_bytes()[:-30])
    data, told = packed()
    assert data == expected
    assert told.count("computed anew") == 3
    assert "warning" not in packed()[1]


def test_it_lies_where_it_is_told_to(packed, model, tmp_path):
    packed("--cache", tmp_path / "a" / "b")
    assert len(list((tmp_path / "a" / "b").glob("*.npz"))) == 3
    assert not model.weights.with_name("net.caffemodel.cmodel-cache").exists()
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").write_text("in the way")
    _, told = packed("--cache", tmp_path / "a")
    assert told.count("not kept") == 1
