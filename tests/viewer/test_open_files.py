"""The page's way into files that it has not been made for: every vector, and damaged manifests."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.nets import make_net, toy_net

import cmodel
from cmodel.container import writer

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "spec" / "vectors"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

BRANCHES = """
name: "branches" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layer { name: "pool" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "slice" type: "Slice" bottom: "p" top: "s" top: "t" slice_param { slice_point: 1 } }
layer { name: "tile" type: "Tile" bottom: "s" top: "u" tile_param { tiles: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "t" bottom: "u" top: "e" eltwise_param { operation: MAX } }
layer { name: "lrn" type: "LRN" bottom: "e" top: "e" }
layer { name: "join" type: "Concat" bottom: "e" bottom: "p" top: "c" }
layer { name: "flat" type: "Flatten" bottom: "c" top: "f" }
layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }
"""


def open_files(*words: object):
    """Return what the page finds; anything that is no answer to the file fails here."""
    command = [str(NODE), str(HERE / "open_files.mjs"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["valid", "uncommon"])
def test_every_vector_is_shown_whole(kind):
    files = sorted((VECTORS / kind).glob("*.cmodel"))
    assert len(files) > 5
    for found in open_files(*files):
        assert "error" not in found, found["file"]
        assert found["sections"]["ok"], found["file"]
        assert set(found["tensors"].values()) <= {None}, found["file"]


def test_every_faulty_vector_gets_an_answer():
    files = sorted((VECTORS / "invalid").glob("*.cmodel"))
    assert len(files) > 20
    for found in open_files(*files):
        refused = found.get("error") or not found["sections"]["ok"]
        assert refused or any(found["tensors"].values()), found["file"]


class OtherManifest:
    """A manifest that comes out with some bytes changed; checksums are made over the changed ones."""

    def __init__(self, manifest: Any, rng: random.Random) -> None:
        self.__dict__["manifest"] = manifest
        self.__dict__["rng"] = rng

    def __getattr__(self, name: str) -> Any:
        return getattr(self.manifest, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.manifest, name, value)

    def SerializeToString(self, *, deterministic: bool) -> bytes:
        data = bytearray(self.manifest.SerializeToString(deterministic=deterministic))
        for _ in range(self.rng.randint(1, 3)):
            at = self.rng.randrange(len(data))
            flipped = data[at] ^ 1 << self.rng.randrange(8)
            data[at] = self.rng.choice([self.rng.randrange(256), flipped, 0, 255, 127])
        return bytes(data)


def test_manifests_with_other_bytes(tmp_path, monkeypatch):
    nets = {"toy": toy_net(), "branches": make_net(BRANCHES, {})}
    files = []
    for name, net in nets.items():
        files.append(tmp_path / f"{name}.cmodel")
        cmodel.save(net, files[-1])
    assert [found["run"] for found in open_files(*files)] == [6, 80]  # 5 channels of 4 x 4

    rng = random.Random(20261124)
    build = writer.build_manifest
    monkeypatch.setattr(writer, "build_manifest", lambda net: OtherManifest(build(net), rng))
    files = []
    for name, net in nets.items():
        for variant in range(120):
            files.append(tmp_path / f"{name}{variant}.cmodel")
            with files[-1].open("wb") as file:
                writer.write_to(file, net)
    found = open_files(*files)
    # Some are refused, some still run: both ways have been gone.
    assert sum("error" in entry for entry in found) > 10
    assert sum(isinstance(entry.get("run"), int) for entry in found) > 10
