"""The JavaScript reader against the Python one: the same names, shapes and bits."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.nets import make_net, toy_net
from tests.unit.container.making import (
    every_form,
    more_forms,
    packed,
    resealed,
    rotated_forms,
    trellis_forms,
    write,
)

from cmodel import container
from cmodel.container import layout
from cmodel.net import InputTransform, Net
from cmodel.proto import manifest_pb2
from cmodel.tensors import Dense, Form, Product, Sparse, Trellis, crc32_of, crc32_of_values

ROOT = Path(__file__).resolve().parents[2]
READERS = ROOT / "spec/readers/js"
VECTORS = ROOT / "spec/vectors"
EXAMPLE = ROOT / "examples/lenet-fashion"
NODE = shutil.which("node")
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

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run node with these arguments."""
    command = [str(NODE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def read(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command cmodel-read."""
    return run(READERS / "cmodel-read.mjs", *arguments)


def evaluate(script: str, *arguments: object) -> Any:
    """Open the file that is the first argument as `container`, and return what `script` gives."""
    text = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ open }} from {json.dumps((READERS / "cmodel-reader.mjs").as_uri())};
        const container = await open(readFileSync(process.argv[1]));
        const result = (() => {{ {script} }})();
        console.log(JSON.stringify(result));
    """
    done = run("--input-type=module", "-e", text, "--", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def described(name: str, form: Form) -> dict[str, object]:
    """Return what a reader says of a tensor."""
    if isinstance(form, Product) and form.rotation is not None:
        blocks = form.blocks()
        size = form.rotation.shape[0]
        return {
            f"{name}:blocks": {
                "shape": [blocks.size // size, size],
                "crc32": f"{crc32_of(form):08x}",
            },
            f"{name}:rotation": {
                "shape": [size, size],
                "crc32": f"{crc32_of_values(form.rotation):08x}",
            },
        }
    return {name: {"shape": list(form.shape), "crc32": f"{crc32_of(form):08x}"}}


def expected(net: Net) -> dict[str, object]:
    """Return what a reader says of all tensors of a net."""
    tensors: dict[str, object] = {}
    for name, form in net.parameters.items():
        tensors |= described(name, form)
    if net.transform is not None and net.transform.mean_image is not None:
        tensors |= described(":mean", Dense(net.transform.mean_image))
    return tensors


def assert_agrees(path: Path) -> None:
    done = read(path)
    assert done.returncode == 0, done.stderr
    tensors = json.loads(done.stdout)["tensors"]
    wanted = expected(container.read(path))
    assert tensors == wanted
    assert list(tensors) == list(wanted)


@pytest.mark.parametrize("make", [toy_net, every_form, more_forms, rotated_forms, trellis_forms])
def test_every_form_is_the_same(tmp_path, make):
    assert_agrees(write(tmp_path / "x.cmodel", packed(make())))


@pytest.mark.parametrize("preset", ["deep-compression", "kmeans-huffman", "linear8"])
def test_the_packed_example_is_the_same(tmp_path, preset):
    path = tmp_path / "x.cmodel"
    model = [EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_fashion.caffemodel"]
    command = [sys.executable, "-m", "cmodel", "pack", *model, "-o", path, "--preset", preset, "-q"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert_agrees(path)


def test_trellises_are_coded_by_contexts(tmp_path):
    path = write(tmp_path / "x.cmodel", packed(trellis_forms()))
    script = """
        return container.tensors.map(({ form }) => [form.kind, form.type, form.integers.coder]);
    """
    assert ["Trellis", "int8", "context"] in evaluate(script, path)
    assert ["Trellis", "int16", "context"] in evaluate(script, path)


def test_bits_of_special_values_are_kept(tmp_path):
    words = np.array([0x7F800001, 0xFFC12345, 0x80000000, 1, 0xFF800000, 0x00000000], np.uint32)
    net = toy_net()
    net.parameters["fc/1"] = Dense(words.view(np.float32))
    net.parameters["conv/1"] = Dense(
        np.array([0x7C01, 0x8001, 0x03FF, 0xFC00], np.uint16).view(np.float16)
    )
    path = write(tmp_path / "x.cmodel", packed(net))
    assert_agrees(path)
    script = """
        const bits = (name) => Array.from(new Uint32Array(container.decode(name).buffer));
        return { fc: bits("fc/1"), conv: bits("conv/1") };
    """
    got = evaluate(script, path)
    assert got["fc"] == words.tolist()
    assert got["conv"] == [0x7F802000, 0xB3800000, 0x387FC000, 0xFF800000]


def test_every_half_is_widened_exactly(tmp_path):
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    text = 'layer { name: "p" type: "Any" top: "p" }'
    path = write(tmp_path / "x.cmodel", packed(make_net(text, {"p": [Dense(halves)]})))
    assert_agrees(path)


def test_everything_beside_the_tensors_is_exposed(tmp_path):
    net = toy_net()
    mean = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    net.transform = InputTransform(
        resize=(10, 12), crop=(8, 8), scale=(0.5,), mean_image=mean, channel_order="rgb"
    )
    net.labels = ("cat", "dog é")
    net.notes = {"recipe": {"name": "x"}}
    path = write(tmp_path / "x.cmodel", packed(net))
    assert_agrees(path)
    script = """
        const { transform, labels, notes, network } = container;
        const layers = network.layers.map(({ raw, ...layer }) => ({ ...layer, size: raw.length }));
        return { transform, labels, notes, name: network.name, layers };
    """
    got = evaluate(script, path)
    assert got["labels"] == ["cat", "dog é"]
    assert got["notes"] == {"recipe": {"name": "x"}}
    assert got["transform"] == {
        "resizeHeight": 10,
        "resizeWidth": 12,
        "cropHeight": 8,
        "cropWidth": 8,
        "scale": [0.5],
        "meanValue": [],
        "channelOrder": "RGB",
    }
    assert got["name"] == "toy"
    conv = got["layers"][1]
    assert (conv["name"], conv["type"], conv["bottoms"], conv["tops"]) == (
        "conv",
        "Convolution",
        ["data"],
        ["conv"],
    )
    assert conv["parameters"] == ["conv/0", "conv/1"]
    assert conv["size"] == net.layers[1].param.ByteSize()


def test_hostile_and_repeated_layer_names(tmp_path):
    names = ["__proto__", "constructor", "a", "a", "a#2", "a", 'é\\n\\"', ""]
    text = "".join(
        f'layer {{ name: "{name}" type: "Any" top: "t{i}" }}' for i, name in enumerate(names)
    )
    keys = ["__proto__", "constructor", "a", "a#3", "a#2", "a#4", 'é\n"', ""]
    rng = np.random.default_rng(0)
    blobs = {key: [Dense(rng.normal(size=3).astype(np.float32))] for key in keys}
    path = write(tmp_path / "x.cmodel", packed(make_net(text, blobs)))
    assert_agrees(path)
    assert [f"{key}/0" for key in keys] == list(json.loads(read(path).stdout)["tensors"])


def test_a_shared_parameter_is_listed_under_its_owner(tmp_path):
    text = """
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } }
        layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" } }
    """
    values = np.arange(6, dtype=np.float32)
    net = make_net(text, {"a": [Dense(values)], "b": []})
    net.layers[1].parameters.append("a/0")
    path = write(tmp_path / "x.cmodel", packed(net))
    assert_agrees(path)
    script = "return container.network.layers.map((layer) => layer.parameters);"
    assert evaluate(script, path) == [["a/0"], ["a/0"]]


def test_a_rotated_product_is_multiplied_out_on_request(tmp_path):
    net = rotated_forms()
    path = write(tmp_path / "x.cmodel", packed(net))
    got = evaluate('return Array.from(container.decode("fc/0"));', path)
    want = net.parameters["fc/0"].to_dense().ravel()
    assert np.allclose(got, want, rtol=1e-5, atol=1e-5)


def assert_refused(done: subprocess.CompletedProcess[str], *names: str) -> None:
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    name, _, explanation = done.stderr.partition(": ")
    assert name in (names or NAMES), done.stderr
    assert explanation.strip()
    assert done.stderr.count("\n") == 1


def test_limits(tmp_path):
    path = write(tmp_path / "x.cmodel", packed(toy_net()))
    total = 4 * (4 * 27 + 4 + 6 * 144 + 6)
    largest = 4 * 6 * 144
    assert read("--max-memory", total, path).returncode == 0
    assert_refused(read("--max-memory", total - 1, path), "limit-memory")
    assert read("--max-tensor", largest, path).returncode == 0
    assert_refused(read("--max-tensor", largest - 1, path), "limit-memory")


def test_a_large_tensor_in_few_bytes_is_refused_before_it_is_made(tmp_path):
    text = 'layer { name: "p" type: "Any" top: "p" }'
    form = zeros(1 << 27)
    path = write(tmp_path / "x.cmodel", packed(make_net(text, {"p": [form]})))
    assert path.stat().st_size < 300
    assert_refused(read(path), "limit-memory")
    assert read("--max-tensor", 1 << 29, path).returncode == 0


def test_the_memory_of_a_context_stream_is_bounded(tmp_path):
    # A row of 300 columns takes 16 bytes a column, and its float32 values only 4.
    ints = np.zeros((1, 300), np.int8)
    ints[0, :90] = np.random.default_rng(0).integers(-9, 9, 90)
    form = Trellis(Dense(np.ones(1, np.float32)), ints)
    net = make_net('layer { name: "p" type: "Any" top: "p" }', {"p": [form]})
    path = write(tmp_path / "x.cmodel", packed(net))
    script = "return container.tensors[0].form.integers.coder;"
    assert evaluate(script, path) == "context"
    assert read("--max-tensor", 16 * 300, path).returncode == 0
    assert_refused(read("--max-tensor", 16 * 300 - 1, path), "limit-memory")


def zeros(size: int) -> Form:
    """Return a sparse tensor without stored elements."""
    return Sparse((size,), np.zeros(0, np.int64), Dense(np.zeros(0, np.float32)))


def test_wrong_calls():
    assert read().returncode == 2
    assert read("--nothing", "x").returncode == 2
    assert read("--max-memory", "much", "x").returncode == 2
    done = read("/nowhere/at-all.cmodel")
    assert done.returncode == 3
    assert done.stderr.startswith("input: ")


# Many files are read by one process: to start node a thousand times takes a minute.
READ_ALL = """
    import { readFileSync } from "node:fs";
    import { CmodelError, crc32OfWords, open } from READER;
    for (const path of readFileSync(process.argv[1], "utf8").trim().split("\\n")) {
      let found;
      try {
        const container = await open(readFileSync(path));
        container.verify();
        const tensors = [];
        for (const { name, shape, words } of container.decodeAll()) {
          const crc32 = crc32OfWords(words).toString(16).padStart(8, "0");
          tensors.push([name, { shape, crc32 }]);
        }
        found = tensors;
      } catch (error) {
        found = error instanceof CmodelError ? error.name : error.stack;
      }
      console.log(JSON.stringify(found));
    }
"""


def read_all(tmp_path: Path, paths: list[Path]) -> list[Any]:
    """Return for each file what its tensors are, as pairs, or the name of the error."""
    listing = write(tmp_path / "files.txt", "\n".join(map(str, paths)).encode())
    script = READ_ALL.replace("READER", json.dumps((READERS / "cmodel-reader.mjs").as_uri()))
    done = run("--input-type=module", "-e", script, "--", listing)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(paths)
    return found


def outcomes(tmp_path: Path, files: list[bytes]) -> list[str]:
    """Return for each file the name of its error, or "fine"."""
    paths = [write(tmp_path / f"{i}.cmodel", data) for i, data in enumerate(files)]
    found = read_all(tmp_path, paths)
    return [what if isinstance(what, str) else "fine" for what in found]


@pytest.mark.parametrize("make", [every_form, more_forms, rotated_forms, trellis_forms])
def test_each_flipped_byte_is_noticed(tmp_path, make):
    data = packed(make())
    rng = random.Random(0)
    places = [*range(200), *rng.sample(range(200, len(data)), 200)]
    flipped = []
    for place in places:
        copy = bytearray(data)
        copy[place] ^= 1 << rng.randrange(8)
        flipped.append(bytes(copy))
    names = outcomes(tmp_path, flipped)
    assert set(names) <= NAMES
    assert {"bad-signature", "bad-version", "checksum"} <= set(names)


def test_each_truncation_and_extension_is_noticed(tmp_path):
    data = packed(more_forms())
    rng = random.Random(0)
    sizes = [*range(1, 100), *rng.sample(range(100, len(data)), 100)]
    assert set(outcomes(tmp_path, [data[:size] for size in sizes])) == {"truncated"}
    assert outcomes(tmp_path, [data + b"\0", data + data]) == ["trailing-data"] * 2


def changed(rng: random.Random, data: bytes) -> bytes:
    """Change, remove or insert a byte."""
    place = rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        return data[:place] + data[place + 1 :]
    value = bytes([rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])])
    return data[:place] + value + data[place + (kind > 1) :]


@pytest.mark.parametrize("make", [every_form, more_forms, rotated_forms, trellis_forms])
def test_damage_with_right_checksums_gives_a_named_error(tmp_path, make):
    data = packed(make())
    section = layout.parse_head(memoryview(data)).sections[1]
    body = data[section.offset : section.offset + section.stored_size]
    rng = random.Random(1)

    def change_directory(manifest: manifest_pb2.Manifest) -> None:
        manifest.directory = changed(rng, manifest.directory)

    files = [resealed(data, change_directory) for _ in range(150)]
    files += [resealed(data, lambda _: None, changed(rng, body)) for _ in range(50)]
    names = outcomes(tmp_path, files)
    # A change may also be one that nothing depends on, or that was none.
    assert set(names) <= NAMES | {"fine"}
    assert {"bad-manifest", "unknown-feature", "checksum"} <= set(names)
    assert names.count("fine") < len(names) // 4


def test_every_vector_is_read(tmp_path):
    if not VECTORS.is_dir():
        pytest.skip("there are no vectors in spec/vectors")
    index = json.loads((VECTORS / "index.json").read_text())
    found = read_all(tmp_path, [VECTORS / path for path in index])
    wrong = [
        f"{path} ({entry['what']}): {got}"
        for (path, entry), got in zip(index.items(), found, strict=True)
        if got != entry.get("error", [list(pair) for pair in entry.get("tensors", {}).items()])
    ]
    assert not wrong, "\n".join(wrong)


# What is inside the module is not exported; a copy of it is, with these words after it.
INSIDE = """
const bytes = (text) => Uint8Array.from(text.split(" "), (word) => parseInt(word, 16));
function integers(coder, text, count) {
  const out = new Uint8Array(count);
  decodeCoded(bytes(text), coder, out);
  return out.join(" ");
}
function context(text, count) {
  const out = new Uint8Array(count);
  decodeContext(bytes(text), out, (T, n) => new T(n));
  return out.join(" ");
}
function refusal(text, count) {
  try {
    return context(text, count);
  } catch (error) {
    return error.name;
  }
}
function trellis(integers) {
  const path = [];
  let state = 0;
  for (const k of integers) {
    path.push([state, trellisLevel(state, k)].join());
    state = TRELLIS_NEXT[2 * state + (k & 1)];
  }
  return path.join(" ");
}
function frequencies(text) {
  const found = new Map();
  const { symbol, frequency } = readRansTable(new Cursor(bytes(text), "bad-stream"), [0]);
  symbol.forEach((one, slot) => found.set(one, frequency[slot]));
  return [...found].join(" ");
}
const ones = new Uint32Array(2);
decodeMask(bytes("00 2c ba"), { rows: 2, columns: 4, size: 8 }, 2, ones, (T, n) => new T(n));
console.log(JSON.stringify({
  huffman: integers("huffman", "06 32 01 30 32 3a", 8),
  listed: integers("rans", "04 02 c3 05 03 14", 4),
  words: integers("rans", "04 00 0b e4 90 93 03 e4 e4 01 e4", 24),
  unused: frequencies("06 5a ca 72 3a"),
  parametric: frequencies("05 80 08 00 c4"),
  mask: ones.join(" "),
  context: context("00 02 02 8d 22 e4 9d 6f", 6),
  row: context("01 01 02 79 04", 4),
  wrong: [
    refusal("00 02 02 8d 22 e4 9d", 6),
    refusal("00 02 02 8d 22 e4 9d 6f 00", 6),
    refusal("00 00 02 8d 22 e4 9d 6f", 6),
    refusal("00 04 02 8d 22 e4 9d 6f", 6),
    refusal("04 02 02 8d 22 e4 9d 6f", 6),
    refusal("02 02 02 00 00 8d 22 e4 9d 6f", 6),
    refusal("02 02 02 04 00 8d 22 e4 9d 6f", 6),
    refusal("00 02 f8 01 8d 22 e4 9d 6f", 6),
    refusal("00 02 02 ff ff ff ff", 6),
    refusal("00 02 02", 6),
    refusal("", 6),
    refusal("00 02 02", 0),
  ],
  trellis: trellis([1, 0, -1, 2]),
}));
"""


def test_examples_of_the_document(tmp_path):
    path = tmp_path / "inside.mjs"
    path.write_text((READERS / "cmodel-reader.mjs").read_text() + INSIDE)
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "huffman": "2 0 2 1 2 2 0 5",
        "listed": "0 0 1 0",
        "words": " ".join(["0 1 2 3"] * 6),
        "unused": "0,1365 3,2184 5,547",
        "parametric": "0,556 1,935 2,1113 3,935 4,557",
        "mask": "1 6",
        "context": "2 1 2 2 3 12",
        "row": "3 2 1 4",
        "wrong": ["bad-stream"] * 12,
        "trellis": "0,2 2,0 1,-1 7,3",
    }


def test_a_damaged_file_prints_its_name_only(tmp_path):
    data = packed(toy_net())
    assert_refused(read(write(tmp_path / "a.cmodel", data[:-1])), "truncated")
    assert_refused(read(write(tmp_path / "b.cmodel", data[:-1] + b"\xaa")), "checksum")
    assert_refused(read(write(tmp_path / "c.cmodel", b"PK" + data)), "bad-signature")
    assert_refused(read(write(tmp_path / "d.cmodel", b"")), "bad-signature", "truncated")
