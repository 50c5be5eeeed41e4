"""The Rust reader of `spec/readers/rust`: it reads what `pack` writes, and survives damage."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.nets import toy_net
from tests.unit.container.making import (
    every_form,
    more_forms,
    packed,
    resealed,
    rotated_forms,
    write,
)

from cmodel import container
from cmodel.net import InputTransform, Net
from cmodel.tensors import Codebook, Dense, Linear, Product, crc32_of

ROOT = Path(__file__).resolve().parents[2]
CRATE = ROOT / "spec" / "readers" / "rust"
VECTORS = ROOT / "spec" / "vectors"
LENET = ROOT / "examples" / "lenet-fashion"
NAMES = {
    "bad-signature",
    "bad-version",
    "bad-header",
    "truncated",
    "trailing-data",
    "checksum",
    "bad-manifest",
    "bad-stream",
    "unknown-feature",
    "limit-memory",
}


def run(release: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [release / "cmodel-read", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def listed(release: Path, path: Path) -> dict[str, dict[str, object]]:
    """Return what the reader lists of a good file."""
    result = run(release, path)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["tensors"]


def expected(net: Net) -> dict[str, dict[str, object]]:
    """Return what a reader must list of a net, in its order."""
    tensors: dict[str, dict[str, object]] = {}
    for name, form in net.parameters.items():
        if isinstance(form, Product) and form.rotation is not None:
            rotation = Dense(form.rotation)
            blocks = form.blocks()
            width = rotation.shape[0]
            shape = [blocks.size // width, width]
            tensors[f"{name}:blocks"] = {"shape": shape, "crc32": f"{crc32_of(form):08x}"}
            tensors[f"{name}:rotation"] = {
                "shape": list(rotation.shape),
                "crc32": f"{crc32_of(rotation):08x}",
            }
        else:
            tensors[name] = {"shape": list(form.shape), "crc32": f"{crc32_of(form):08x}"}
    return tensors


def refused(release: Path, path: Path, *options: object) -> str:
    """Return the name of the error that a bad file gives."""
    result = run(release, *options, path)
    assert result.returncode == 3, (result.returncode, result.stdout, result.stderr)
    assert result.stdout == ""
    name, colon, explanation = result.stderr.partition(":")
    assert name in NAMES
    assert colon
    assert explanation.strip()
    return name


def test_the_crate_has_no_unsafe_code_and_no_dependencies():
    assert "#![forbid(unsafe_code)]" in (CRATE / "src" / "lib.rs").read_text()
    assert (CRATE / "Cargo.lock").read_text().count("[[package]]") == 1


@pytest.mark.parametrize("make", [toy_net, every_form, more_forms, rotated_forms])
@pytest.mark.parametrize("seed", range(3))
def test_every_form_is_read(release, tmp_path, make, seed):
    net = make(seed)
    path = write(tmp_path / "x.cmodel", packed(net))
    tensors = listed(release, path)
    assert tensors == expected(net)
    assert list(tensors) == list(expected(net))


def test_a_plain_manifest_is_read_as_a_deflated_one(release, tmp_path):
    net = every_form()
    data = packed(net)
    plain = resealed(data, lambda _: None)
    assert plain != data
    tensors = listed(release, write(tmp_path / "plain.cmodel", plain))
    assert tensors == listed(release, write(tmp_path / "deflated.cmodel", data))


def test_large_streams_have_chunks(release, tmp_path):
    rng = np.random.default_rng(3)
    net = toy_net()
    skewed = np.minimum(rng.geometric(0.2, (1500, 1000)) - 1, 31).astype(np.uint8)
    book = Dense(np.sort(rng.normal(size=(1, 32))).astype(np.float32))
    net.parameters["fc/0"] = Codebook(book, skewed)
    ints = rng.normal(0, 9, (700, 300)).clip(-128, 127).astype(np.int8)
    scales = Dense(rng.random(700).astype(np.float32))
    net.parameters["conv/0"] = Linear(scales, np.zeros(700, np.int32), ints)
    path = write(tmp_path / "x.cmodel", packed(net))
    assert listed(release, path) == expected(net)


def test_the_mean_image_has_a_name_of_its_own(release, tmp_path):
    net = toy_net()
    mean = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    net.transform = InputTransform(mean_image=mean)
    path = tmp_path / "x.cmodel"
    container.write(net, path)
    tensors = listed(release, path)
    assert tensors.pop(":mean") == {"shape": [3, 8, 8], "crc32": f"{crc32_of(Dense(mean)):08x}"}
    assert tensors == expected(net)


def test_names_are_json_strings(release, tmp_path):
    name = 'a "b"\\c\n\tü\x1f'
    net = toy_net()

    def rename(manifest):
        manifest.network.layer[1].name = name

    path = write(tmp_path / "x.cmodel", resealed(packed(net), rename))
    assert list(listed(release, path)) == [f"{name}/0", f"{name}/1", "fc/0", "fc/1"]


@pytest.mark.parametrize("preset", ["linear8", "kmeans-huffman", "deep-compression"])
def test_packed_models_are_read(release, tmp_path, preset):
    path = tmp_path / "lenet.cmodel"
    model = [LENET / "deploy.prototxt", LENET / "lenet_fashion.caffemodel"]
    subprocess.run(
        [sys.executable, "-m", "cmodel", "pack", "-q", "--preset", preset, "-o", path, *model],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=True,
    )
    tensors = listed(release, path)
    assert tensors == expected(container.read(path))
    assert len(tensors) == 8


def test_every_vector_is_read(release):
    if not VECTORS.is_dir():
        pytest.skip("there are no vectors in spec/vectors")
    wrong = []
    for path, facts in json.loads((VECTORS / "index.json").read_text()).items():
        if "error" in facts:
            found = refused(release, VECTORS / path)
            due = facts["error"]
        else:
            found = list(listed(release, VECTORS / path).items())
            due = list(facts["tensors"].items())
        if found != due:
            wrong.append(f"{path} ({facts['what']}): {found} where {due} is due")
    assert not wrong, "\n".join(wrong)


def test_every_cut_is_refused(release, tmp_path):
    data = packed(every_form())
    path = tmp_path / "x.cmodel"
    for end in [*range(0, 128, 5), *range(128, len(data), 97)]:
        write(path, data[:end])
        assert refused(release, path) == ("truncated" if end else "bad-signature")
    write(path, data + b"\0")
    assert refused(release, path) == "trailing-data"


def test_every_flip_is_refused(release, tmp_path):
    data = packed(every_form())
    rng = random.Random(1)
    path = tmp_path / "x.cmodel"
    places = [*range(20), *rng.sample(range(20, len(data)), 100)]
    seen = set()
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        seen.add(refused(release, write(path, bytes(damaged))))
    assert {"bad-signature", "bad-version", "truncated", "checksum"} <= seen


def test_memory_is_limited_over_all_tensors(release, tmp_path):
    net = every_form()
    path = write(tmp_path / "x.cmodel", packed(net))
    needed = 4 * sum(int(np.prod(form.shape)) for form in net.parameters.values())
    assert run(release, "--max-memory", needed, path).returncode == 0
    assert refused(release, path, "--max-memory", needed - 1) == "limit-memory"


def test_an_enormous_empty_tensor_takes_no_memory(release, tmp_path):
    """A sparse tensor of 2^40 zeros takes a few bytes; the reader must not make room for it."""
    net = toy_net()

    def enlarge(manifest):
        def varint(number):
            out = b""
            while number > 127:
                out += bytes([number & 127 | 128])
                number >>= 7
            return out + bytes([number])

        # One tensor of layer 1: rank 1, Sparse by relative index, no positions, Dense values.
        sparse = b"\x03\x00\x01\x00\x00\x00"
        manifest.directory = b"\x01" + bytes(4) + b"\x06\x01" + varint(1 << 40) + sparse

    path = write(tmp_path / "x.cmodel", resealed(packed(net), enlarge, b""))
    assert refused(release, path) == "limit-memory"


def test_the_file_and_the_usage_have_codes_of_their_own(release, tmp_path):
    missing = run(release, tmp_path / "missing.cmodel")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert run(release).returncode == 2
    assert run(release, "--max-memory", "much", "x").returncode == 2


@pytest.mark.parametrize("make", [toy_net, every_form, more_forms, rotated_forms])
def test_thousands_of_mutations_never_panic(release, tmp_path, make):
    data = packed(make())
    paths = [
        write(tmp_path / "deflated.cmodel", data),
        write(tmp_path / "plain.cmodel", resealed(data, lambda _: None)),
    ]
    result = subprocess.run(
        [release / "examples" / "mutate", "3000", "11", *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    outcomes = {name: int(count) for name, count in map(str.split, result.stdout.splitlines())}
    assert sum(outcomes.values()) == 6000
    assert outcomes.keys() <= NAMES | {"ok"}
    assert {"bad-header", "bad-manifest", "checksum", "truncated"} <= outcomes.keys()
