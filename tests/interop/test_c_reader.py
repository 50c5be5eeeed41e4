"""The C reader of spec/readers/c, written from the specification, reads what this package writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests.nets import make_net, toy_net
from tests.unit.container import making

from cmodel import container
from cmodel.container import layout
from cmodel.net import Net
from cmodel.tensors import Dense, Form, Product, crc32_of

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "spec/readers/c"
VECTORS = ROOT / "spec/vectors"
EXAMPLE = ROOT / "examples/lenet-fashion"
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

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("cc") is None, reason="needs make and a C compiler"
)


def make(target: str, folder: Path, *settings: str) -> Path:
    """Build a target of the reader's Makefile in a folder, and return its path."""
    command = ["make", "-s", "-C", SOURCES, f"BUILD={folder}", *settings, folder / target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / target


@pytest.fixture(scope="module", params=["cmodel-read", "cmodel-read-sanitized"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command, as it is and with the address and undefined-behaviour sanitizers."""
    return make(request.param, tmp_path_factory.mktemp("reader"))


def run(reader: Path, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a file."""
    return subprocess.run(
        [reader, *options, path], capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def listed(reader: Path, path: Path, *options: str) -> dict[str, dict[str, object]]:
    """Return the tensors that the command lists, in its order."""
    done = run(reader, path, *options)
    assert (done.returncode, done.stderr) == (0, "")
    tensors: dict[str, dict[str, object]] = json.loads(done.stdout)["tensors"]
    return tensors


def error_of(reader: Path, path: Path, *options: str) -> str:
    """Return the name of the error that the command ends with."""
    done = run(reader, path, *options)
    assert (done.returncode, done.stdout) == (3, ""), (path, done.stderr)
    name, _, explanation = done.stderr.partition(": ")
    assert name in NAMES, done.stderr
    assert explanation.strip()
    return name


def expected(name: str, form: Form) -> dict[str, dict[str, object]]:
    """Return what a reader lists for a tensor."""
    if not isinstance(form, Product) or form.rotation is None:
        return {name: {"shape": list(form.shape), "crc32": f"{crc32_of(form):08x}"}}
    size = len(form.rotation)
    rotation = Dense(np.ascontiguousarray(form.rotation, np.float32))
    return {
        f"{name}:blocks": {
            "shape": [int(np.prod(form.shape)) // size, size],
            "crc32": f"{crc32_of(form):08x}",
        },
        f"{name}:rotation": {"shape": [size, size], "crc32": f"{crc32_of(rotation):08x}"},
    }


def check(reader: Path, path: Path, net: Net) -> None:
    """Compare what the reader lists with the parameters of a net."""
    wanted: dict[str, dict[str, object]] = {}
    for name, form in net.parameters.items():
        wanted |= expected(name, form)
    found = listed(reader, path)
    assert found == wanted
    assert list(found) == list(wanted)


@pytest.mark.parametrize("maker", ["toy", "every_form", "more_forms", "rotated_forms"])
@pytest.mark.parametrize("seed", range(3))
def test_every_form_decodes_as_here(reader: Path, tmp_path: Path, maker: str, seed: int) -> None:
    net = toy_net(seed) if maker == "toy" else getattr(making, maker)(seed)
    check(reader, making.write(tmp_path / "a.cmodel", making.packed(net)), net)


@pytest.mark.parametrize("preset", ["linear8", "kmeans-huffman", "deep-compression"])
def test_the_example_decodes_as_here(reader: Path, tmp_path: Path, preset: str) -> None:
    path = tmp_path / "lenet.cmodel"
    arguments = ["pack", EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_fashion.caffemodel"]
    options = ["-o", path, "--preset", preset, "--class-names", EXAMPLE / "labels.txt", "-q"]
    source = os.fspath(ROOT / "src")
    subprocess.run(
        [sys.executable, "-m", "cmodel", *arguments, *options],
        env=os.environ | {"PYTHONPATH": source},
        check=True,
        timeout=120,
    )
    check(reader, path, container.read(path))


def test_names_are_escaped_and_told_apart(reader: Path, tmp_path: Path) -> None:
    names = [
        'q"\\/',
        "tab\tline\n\x01\x7f",
        "Größe 大小 🙂",
        "",
        "same",
        "same#2",
        "same",
        "same",
        "nul\0",
    ]
    text = "".join(f"layer {{ name: {json_string(name)} type: 'Bias' }}\n" for name in names)
    keys = [*names[:6], "same#3", "same#4", names[8]]
    blobs = {key: [Dense(np.full(2, i, np.float32))] for i, key in enumerate(keys)}
    net = make_net(text, blobs)
    assert list(net.parameters) == [f"{key}/0" for key in keys]
    check(reader, making.write(tmp_path / "a.cmodel", making.packed(net)), net)


def json_string(text: str) -> str:
    """Return a string of prototxt text with every byte escaped."""
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode()) + '"'


def test_an_empty_net_lists_nothing(reader: Path, tmp_path: Path) -> None:
    path = making.write(tmp_path / "a.cmodel", making.packed(make_net("name: 'none'", {})))
    assert listed(reader, path) == {}


@pytest.mark.parametrize("maker", [making.every_form, making.more_forms, making.rotated_forms])
def test_a_flipped_bit_is_an_error(reader: Path, tmp_path: Path, maker: type[Net]) -> None:
    whole = making.packed(maker())
    path = tmp_path / "a.cmodel"
    rng = np.random.default_rng(1)
    places = {*range(0, 64, 3), *rng.integers(0, len(whole), 40).tolist()}
    for place in sorted(places):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        error_of(reader, path)


def test_a_cut_or_longer_file_is_an_error(reader: Path, tmp_path: Path) -> None:
    whole = making.packed(making.every_form())
    path = tmp_path / "a.cmodel"
    for size in {0, 1, 7, 8, 9, 31, 32, 63, 64, 96, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:size])
        assert error_of(reader, path) == ("truncated" if size else "bad-signature")
    path.write_bytes(whole + b"\0")
    assert error_of(reader, path) == "trailing-data"


def test_forged_directories_with_good_checksums_are_named_errors(
    reader: Path, tmp_path: Path
) -> None:
    whole = making.packed(making.every_form())
    path = tmp_path / "a.cmodel"
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(60):

        def change(manifest: object) -> None:
            directory = bytearray(manifest.directory)  # type: ignore[attr-defined]
            directory[int(rng.integers(len(directory)))] = int(rng.integers(256))
            manifest.directory = bytes(directory)  # type: ignore[attr-defined]

        path.write_bytes(making.resealed(whole, change))
        done = run(reader, path)
        assert done.returncode in (0, 3), done.stderr
        if done.returncode == 3:
            seen.add(error_of(reader, path))
    assert {"bad-manifest", "checksum"} <= seen


def test_the_memory_limit_is_for_all_tensors_together(reader: Path, tmp_path: Path) -> None:
    net = toy_net()
    path = making.write(tmp_path / "a.cmodel", making.packed(net))
    assert error_of(reader, path, "--max-memory", "0") == "limit-memory"
    size = 4 * sum(int(np.prod(form.shape)) for form in net.parameters.values())
    assert len(listed(reader, path, "--max-memory", str(size))) == 4
    assert error_of(reader, path, "--max-memory", str(size - 1)) == "limit-memory"


def container_of(manifest: bytes) -> bytes:
    """Return a container of a manifest alone, which is deflated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = compressor.compress(manifest) + compressor.flush()
    crc = zlib.crc32(stored)
    section = layout.Section(layout.MANIFEST, layout.DEFLATED, crc, 0, len(stored), len(manifest))
    return layout.pack_head([section], 0) + stored


def layer_named(name: bytes) -> bytes:
    """Return the wire bytes of a network of one layer."""
    layer = b"\x0a" + bytes([len(name)]) + name
    network = b"\xa2\x06" + bytes([len(layer)]) + layer
    return b"\x0a" + bytes([len(network)]) + network


START, END = b"\xbb\x3e", b"\xbc\x3e"  # of a group: field 999

MANIFESTS = {
    "nothing": (b"", None),
    "unknown numbers": (b"\xb8\x3e\xff\x01" + b"\xb9\x3e12345678" + b"\xbd\x3e1234", None),
    "groups in groups": (START * 100 + b"\x08\x07" + END * 100, None),
    "groups too deep": (START * 101 + END * 101, "bad-manifest"),
    "a group that does not end": (START, "bad-manifest"),
    "a group that another ends": (START + b"\xc4\x3e", "bad-manifest"),
    "an end without a group": (END, "bad-manifest"),
    "field 0": (b"\x00\x00", "bad-manifest"),
    "wire type 6": (b"\x0e", "bad-manifest"),
    "a long varint": (b"\xb8\x3e" + b"\xff" * 10 + b"\x01", "bad-manifest"),
    "a field beyond the end": (b"\x12\x05abc", "bad-manifest"),
    "a number where a message should be": (b"\x08\x05", None),
    "a name": (layer_named("é大🙂".encode()), None),
    "a cut name": (layer_named("é".encode()[:1]), "bad-manifest"),
    "an overlong character": (layer_named(b"\xc0\xaf"), "bad-manifest"),
    "a surrogate": (layer_named(b"\xed\xa0\x80"), "bad-manifest"),
    "too large a character": (layer_named(b"\xf4\x90\x80\x80"), "bad-manifest"),
    "means, packed by halves": (b"\x22\x06\x32\x04abcd", "bad-manifest"),
    "too many layers": (b"\x0a\x83\x80\xc0\x01" + b"\xa2\x06\x00" * (2**20 + 1), "limit-memory"),
    "too long": (bytes(2**22 + 1), "limit-memory"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_wire_format_of_the_manifest(reader: Path, tmp_path: Path, name: str) -> None:
    manifest, error = MANIFESTS[name]
    path = making.write(tmp_path / "a.cmodel", container_of(manifest))
    if error is None:
        assert listed(reader, path) == {}
    else:
        assert error_of(reader, path) == error


def test_usage_and_missing_files_are_told_apart_from_bad_files(
    reader: Path, tmp_path: Path
) -> None:
    missing = run(reader, tmp_path / "missing.cmodel")
    assert missing.returncode == 1
    assert missing.stdout == ""
    assert "missing.cmodel" in missing.stderr
    for options in [["--max-memory", "-1"], ["--max-memory", ""], ["--other"]]:
        usage = run(reader, tmp_path / "missing.cmodel", *options)
        assert usage.returncode == 2
        assert usage.stderr.startswith("usage:")


def vectors() -> list[tuple[str, dict[str, object]]]:
    """Return the conformance vectors, by name, with what is expected of each."""
    index = VECTORS / "index.json"
    return list(json.loads(index.read_text()).items()) if index.is_file() else []


@pytest.mark.parametrize(("name", "vector"), vectors(), ids=[name for name, _ in vectors()])
def test_vectors(reader: Path, name: str, vector: dict[str, object]) -> None:
    if "error" in vector:
        assert error_of(reader, VECTORS / name) == vector["error"]
    else:
        found = listed(reader, VECTORS / name)
        assert found == vector["tensors"]
        assert list(found) == list(vector["tensors"])  # type: ignore[call-overload]


def compiled(name: str, folder: Path) -> Path:
    """Build a C program of this folder with the reader's sources."""
    program = folder / name
    sources = [file for file in sorted(SOURCES.glob("*.c")) if file.stem not in ("main", "fuzz")]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off"]
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(
        ["cc", *flags, f"-I{SOURCES}", "-o", program, source, *sources, "-lm"], check=True
    )
    return program


def test_the_library(tmp_path: Path) -> None:
    """A C program that uses the library, and says what is wrong."""
    path = making.write(tmp_path / "a.cmodel", making.packed(making.rotated_forms()))
    program = compiled("use_reader", tmp_path)
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_examples_of_context_streams(tmp_path: Path) -> None:
    program = compiled("use_contexts", tmp_path)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
