"""Files that releases wrote: every later release reads them to the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.golden.museum.add import facts_of

from cmodel import container

MUSEUM = Path(__file__).resolve().parent / "museum"
INDEX = json.loads((MUSEUM / "index.json").read_text())


@pytest.mark.parametrize("name", INDEX)
def test_a_file_of_the_museum_decodes_to_the_same_bits(name):
    assert facts_of(MUSEUM / name) == INDEX[name]
    assert container.verify(MUSEUM / name).ok
    container.read(MUSEUM / name)


def test_nothing_left_the_museum():
    assert {path.name for path in MUSEUM.glob("*.cmodel")} == set(INDEX)
    # What 1.0 came with; files of later versions come on top.
    first = {
        *("dense", "planes", "codebook", "linear", "sparse", "product", "rotated", "hashed"),
        *("trellis", "packed", "huffman", "rans", "split", "context", "relative", "bitmap"),
        *("mask", "beside", "sections", "empty"),
    }
    assert {f"{name}-1.0.cmodel" for name in first} <= set(INDEX)


def test_what_stands_beside_the_tensors_comes_back():
    net = container.read(MUSEUM / "beside-1.0.cmodel")
    assert net.labels == ("cat", "dog é")
    assert net.notes == {"recipe": {"name": "x"}, "seed": 3}
    assert [layer.key for layer in net.layers] == ["data", "a", "a#2", "b"]
    assert net.layers[3].parameters == ["a/0", "b/1"]
    assert [field.text for field in net.unknown] == ["fork_option: 3"]
    transform = net.transform
    assert transform is not None
    assert (transform.resize, transform.crop, transform.scale) == ((10, 12), (8, 8), (0.5,))
    assert transform.channel_order == "rgb"
    assert transform.mean_image is not None
    assert transform.mean_image.shape == (3, 8, 8)
