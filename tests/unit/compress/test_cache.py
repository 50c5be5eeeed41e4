"""Statistics that serve later runs: the same results, and no harm from files that are damaged."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from tests.unit.compress.nets import CONV, filled, images

from cmodel.compress import Cache, Calibration, apply_recipe, statistics
from cmodel.compress.recipe import load_preset

SENSITIVITY = sys.modules["cmodel.compress.sensitivity"]
SHAPES = {"a/0 gram": (2, 3, 3), "b": (400,), "empty": (0, 2)}


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}


def never():
    raise AssertionError("computed again")


@pytest.fixture
def told():
    return []


@pytest.fixture
def cache(tmp_path, told):
    return Cache(tmp_path / "kept", on_warning=told.append, least_seconds=0)


def files(cache):
    return sorted(cache.folder.glob("*"))


class TestFiles:
    def test_what_was_computed_is_read_bit_by_bit(self, cache, told):
        for compute in (arrays, never):
            found = cache.get((b"key",), compute)
            assert {name: array.shape for name, array in found.items()} == SHAPES
            assert all((found[name] == arrays()[name]).all() for name in SHAPES)
        assert not told

    def test_another_key_is_another_entry(self, cache):
        cache.get((b"a", b"b"), arrays)
        found = cache.get((b"ab", b""), lambda: arrays(1))
        assert (found["b"] == arrays(1)["b"]).all()
        assert len(files(cache)) == 2

    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text", "compressed", "pickle"])
    def test_a_damaged_file_is_written_anew(self, cache, told, damage):
        cache.get((b"key",), arrays)
        (file,) = files(cache)
        data = bytearray(file.read_bytes())
        if damage == "flip":
            data[data.index(b"\x93NUMPY") + 140] ^= 1
        elif damage == "cut":
            del data[-50:]
        elif damage == "empty":
            data.clear()
        elif damage == "text":
            data = bytearray(b"no archive")
        file.write_bytes(data)
        if damage == "compressed":
            np.savez_compressed(file, **arrays())
        elif damage == "pickle":
            np.savez(file, a=np.array([{}], object))
        found = cache.get((b"key",), arrays)
        assert (found["b"] == arrays()["b"]).all()
        assert len(told) == 1
        assert "computed anew" in told[0]
        cache.get((b"key",), never)

    def test_a_place_that_cannot_be_written_keeps_nothing(self, tmp_path, told):
        (tmp_path / "file").write_text("in the way")
        cache = Cache(tmp_path / "file" / "kept", on_warning=told.append, least_seconds=0)
        for _ in range(2):
            assert (cache.get((b"key",), arrays)["b"] == arrays()["b"]).all()
        assert len(told) == 1
        assert "not kept" in told[0]

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
    def test_a_folder_that_is_only_read_serves(self, cache, told):
        cache.get((b"key",), arrays)
        cache.folder.chmod(0o500)
        try:
            cache.get((b"key",), never)
            cache.get((b"other",), arrays)
        finally:
            cache.folder.chmod(0o700)
        assert len(files(cache)) == len(told) == 1

    def test_the_least_recently_used_go_first(self, tmp_path):
        size = sum(array.nbytes for array in arrays().values())
        cache = Cache(tmp_path / "kept", most=3 * size, least_seconds=0)
        (tmp_path / "kept").mkdir()
        other = tmp_path / "kept" / "notes.txt"
        other.write_text("x" * 10 * size)
        for number in range(2):
            cache.get((bytes([number]),), arrays)
        for age, file in zip((100, 50), sorted(cache.folder.glob("*.npz")), strict=True):
            os.utime(file, (age, age))
        first = min(cache.folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
        cache.get((b"new",), arrays)
        left = list(cache.folder.glob("*.npz"))
        assert first not in left
        assert sum(file.stat().st_size for file in left) <= cache.most
        assert other.exists()

    def test_what_is_larger_than_all_room_is_not_kept(self, tmp_path):
        cache = Cache(tmp_path / "kept", most=100, least_seconds=0)
        cache.get((b"key",), arrays)
        assert not cache.folder.exists()

    def test_what_is_quick_is_not_kept(self, tmp_path):
        Cache(tmp_path / "kept").get((b"key",), arrays)
        assert not (tmp_path / "kept").exists()


class TestRuns:
    def packed(self, cache, x, net=None):
        net = filled(CONV) if net is None else net
        done = apply_recipe(net, load_preset("rdo"), data=Calibration(net, x, cache))
        return {name: done.parameters[name].to_dense().tobytes() for name in done.parameters}

    def test_a_second_run_gathers_nothing_and_gives_the_same(self, cache, told, monkeypatch):
        x = images(filled(CONV))
        first = self.packed(cache, x)
        assert first == self.packed(None, x)
        for module, name in ((statistics, "gather"), (SENSITIVITY, "fisher_information")):
            monkeypatch.setattr(module, name, lambda *_, **__: never())
        monkeypatch.setattr("cmodel.compress.responses.Engine", lambda *_: never())
        assert self.packed(cache, x) == first
        assert not told

    def test_other_images_and_other_weights_are_told_apart(self, cache):
        net = filled(CONV)
        x = images(net)
        self.packed(cache, x)
        count = len(files(cache))
        y = x.copy()
        y[-1, 0, 0, 0] += 1
        assert self.packed(cache, y) == self.packed(None, y)
        assert len(files(cache)) == 2 * count
        other = filled(CONV, seed=1)
        assert self.packed(cache, x, other) == self.packed(None, x, other)
        assert len(files(cache)) == 3 * count
