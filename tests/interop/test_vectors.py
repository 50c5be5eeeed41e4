"""The conformance vectors through this package's reader: values, or the right error name."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from cmodel import container
from cmodel.container.deflation import preset_dictionary
from cmodel.errors import CmodelError
from cmodel.tensors import FloatArray, Product, crc32_of_values

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "spec" / "vectors"
INDEX = json.loads((VECTORS / "index.json").read_text())
GOOD = [path for path, facts in INDEX.items() if "error" not in facts]
BAD = [path for path, facts in INDEX.items() if "error" in facts]


def listed(values: FloatArray) -> dict[str, object]:
    return {"shape": list(values.shape), "crc32": f"{crc32_of_values(values):08x}"}


@pytest.mark.parametrize("path", GOOD)
def test_good_vectors_decode_to_the_stated_values(path):
    opened = container.Container(VECTORS / path)
    found = {}
    for tensor in opened.tensors:
        form = opened.form(tensor.name)
        if isinstance(form, Product) and form.rotation is not None:
            found[f"{tensor.name}:blocks"] = listed(form.blocks())
            found[f"{tensor.name}:rotation"] = listed(form.rotation)
        else:
            found[tensor.name] = listed(form.to_dense())
    assert found == INDEX[path]["tensors"]
    assert container.verify(VECTORS / path).ok


@pytest.mark.parametrize("path", BAD)
def test_bad_vectors_are_refused_by_name(path):
    try:
        (damage,) = container.verify(VECTORS / path).damages
        found = damage.error
    except CmodelError as error:
        found = error
    assert found.name == INDEX[path]["error"]


def test_there_are_enough_and_all_are_listed():
    files = {path.relative_to(VECTORS).as_posix() for path in VECTORS.glob("*/*.cmodel")}
    assert files == set(INDEX)
    assert len(GOOD) >= 60
    assert len(BAD) >= 60


def test_the_generator_writes_what_is_here(tmp_path):
    again = tmp_path / "vectors"
    again.mkdir()
    (tmp_path / "dictionary.bin").write_bytes((ROOT / "spec" / "dictionary.bin").read_bytes())
    for name in ("builder.py", "context.py", "forms.py", "generate.py"):
        (again / name).write_bytes((VECTORS / name).read_bytes())
    subprocess.run([sys.executable, again / "generate.py"], check=True, capture_output=True)
    assert json.loads((again / "index.json").read_text()) == INDEX
    for path in INDEX:
        assert (again / path).read_bytes() == (VECTORS / path).read_bytes(), path


def test_the_preset_dictionary_is_the_one_of_the_specification():
    data = (ROOT / "spec" / "dictionary.bin").read_bytes()
    assert (len(data), zlib.crc32(data)) == (4084, 0xCB34A2FF)
    assert preset_dictionary() == data
    # Its copies in the readers, and the script that says how it came about.
    script = ROOT / "spec" / "make_dictionary.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_generator_uses_none_of_our_code():
    for name in ("builder.py", "context.py", "forms.py", "generate.py"):
        text = (VECTORS / name).read_text()
        assert "import cmodel" not in text
        assert "from cmodel" not in text


def test_the_example_of_the_document_is_that_file():
    text = (ROOT / "spec" / "cmodel-format.md").read_text()
    block = text[text.index("## 15.") :].split("```")[1]
    data = b""
    for line in block.strip().splitlines():
        offset, rest = line.split(maxsplit=1)
        assert int(offset, 16) == len(data)
        words = []
        for word in rest.split():
            if len(word) != 2 or not set(word) <= set("0123456789abcdef"):
                break
            words.append(word)
        data += bytes.fromhex("".join(words))
    assert data == (VECTORS / "valid" / "example.cmodel").read_bytes()
