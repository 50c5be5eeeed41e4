"""The Kaitai Struct description of the format: it compiles, and finds what the reader finds."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.nets import toy_net
from tests.unit.container.making import (
    every_form,
    more_forms,
    packed,
    rotated_forms,
    trellis_forms,
    write,
)

from cmodel import container
from cmodel.container import layout
from cmodel.net import InputTransform
from cmodel.tensors import crc32_of

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
VECTORS = ROOT / "spec/vectors"


@pytest.fixture(scope="module")
def node() -> str:
    """Return the path of node, with the packages of package.json installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is not installed")
    marker = HERE / "node_modules/.package-lock.json"
    lock = HERE / "package-lock.json"
    if not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--no-fund", "--no-audit", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            pytest.skip(
                f"npm ci cannot install the packages of tests/interop: {done.stderr[-300:]}"
            )
    return node


def walk(node: str, *paths: Path) -> list[dict[str, Any]]:
    """Return what the compiled description finds in each file."""
    command = [node, HERE / "walk-kaitai.mjs", ROOT / "spec/cmodel.ksy", *paths]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_agrees(found: dict[str, Any], path: Path) -> None:
    assert "error" not in found, f"{path.name}: {found['error']}"
    sections = layout.parse_head(memoryview(path.read_bytes())).sections
    assert len(found["sections"]) == len(sections)
    for one, section in zip(found["sections"], sections, strict=True):
        assert one["type"] == section.type
        assert one["crc32"] == section.crc32
        assert one["deflated"] == section.deflated
        assert one["storedSize"] == section.stored_size
        assert one["decodedSize"] == section.decoded_size
        assert one["found"] == [section.offset, section.offset + section.stored_size]


@pytest.mark.parametrize("make", [toy_net, every_form, more_forms, rotated_forms, trellis_forms])
def test_every_form_is_walked(node, tmp_path, make):
    net = make()
    net.labels = ("cat", "dog é")
    net.notes = {"recipe": {"name": "x"}}
    path = write(tmp_path / "x.cmodel", packed(net))
    (found,) = walk(node, path)
    assert_agrees(found, path)
    forms = container.read(path).parameters.values()
    assert [tensor["shape"] for tensor in found["tensors"]] == [list(f.shape) for f in forms]
    assert [tensor["form"] for tensor in found["tensors"]] == [
        type(form).__name__.upper() for form in forms
    ]
    assert [tensor["crc32"] for tensor in found["tensors"]] == [crc32_of(form) for form in forms]


def test_a_mean_image_and_padding(node, tmp_path):
    net = toy_net()
    net.transform = InputTransform(mean_image=np.ones((3, 8, 8), np.float32))
    plain = packed(net)
    path = write(tmp_path / "plain.cmodel", plain)
    padded = write(tmp_path / "padded.cmodel", aligned(plain, 6))
    for found, file in zip(walk(node, path, padded), (path, padded), strict=True):
        assert_agrees(found, file)
        assert found["tensors"][-1]["shape"] == [3, 8, 8]
    assert list(container.read(padded).parameters) == list(net.parameters)


def aligned(data: bytes, log: int) -> bytes:
    """Return a container with its sections at multiples of 2^log."""
    sections = layout.parse_head(memoryview(data)).sections
    out = layout.pack_head(sections, log)
    for section in sections:
        out += bytes(-len(out) % (1 << log))
        out += data[section.offset : section.offset + section.stored_size]
    return out


def test_what_kaitai_can_see_is_refused(node, tmp_path):
    data = packed(toy_net())
    changes = {"signature": 1, "version": 8, "alignment": 10, "reserved": 11, "table size": 12}
    paths = []
    for name, place in changes.items():
        damaged = data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :]
        paths.append(write(tmp_path / f"{name}.cmodel", damaged))
    paths.append(write(tmp_path / "longer.cmodel", data + b"\0"))
    assert all("error" in found for found in walk(node, *paths))


def test_every_vector_is_walked(node):
    if not VECTORS.is_dir():
        pytest.skip("there are no vectors in spec/vectors")
    paths = sorted([*VECTORS.glob("valid/*.cmodel"), *VECTORS.glob("uncommon/*.cmodel")])
    assert paths
    for found, path in zip(walk(node, *paths), paths, strict=True):
        assert_agrees(found, path)
    # A damaged file may look well to Kaitai, which checks no CRC, but it may not stop the walk.
    invalid = sorted(VECTORS.glob("invalid/*.cmodel"))
    assert len(walk(node, *invalid)) == len(invalid)
