"""What a small file costs beside its payload: figures that the format promises."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tests.unit.container.making import packed

import cmodel
from cmodel import container
from cmodel.net import Net, deployed

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "lenet-fashion"


@pytest.fixture(scope="module")
def lenet() -> Net:
    return cmodel.load(EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_fashion.caffemodel")


@pytest.mark.parametrize("preset", ["linear8", "kmeans-huffman", "deep-compression"])
def test_lenet_without_its_payload_is_at_most_220_bytes(lenet, preset, tmp_path):
    net = cmodel.compress(deployed(lenet), preset)
    net.notes, net.labels = {}, ()
    assert _overhead(net, tmp_path) <= 220


def test_a_net_of_other_names_costs_at_most_300_bytes(lenet, tmp_path):
    # The preset dictionary has LeNet's own names; these it does not have.
    net = deployed(lenet)
    net.header.name = "Quagga"
    names = {"data": "x"}
    for layer in net.layers:
        param = layer.param
        names.setdefault(param.name, f"q_{param.type[:2]}{len(names)}")
        param.name = names[param.name]
        param.bottom[:] = [names[name] for name in param.bottom]
        param.top[:] = [names[name] for name in param.top]
    net = cmodel.compress(net, "linear8")
    net.notes, net.labels = {}, ()
    assert _overhead(net, tmp_path) <= 300


def _overhead(net: Net, folder: Path) -> int:
    """Return the bytes of the container of `net` that are no payload."""
    path = folder / "x.cmodel"
    path.write_bytes(packed(net))
    opened = container.Container(path)
    return path.stat().st_size - sum(tensor.size for tensor in opened.tensors)


def test_brief_notes_of_a_small_file_cost_at_most_30_bytes(lenet):
    net = cmodel.compress(lenet, "kmeans-huffman")
    sizes = {}
    for detail in ("none", "brief", "auto", "full"):
        file = io.BytesIO()
        sizes[detail] = container.write_to(file, net, notes=detail)
        assert sizes[detail] == len(file.getvalue())
    assert sizes["none"] < sizes["brief"] == sizes["auto"] <= sizes["none"] + 30
    assert sizes["full"] > sizes["brief"] + 50


def test_brief_notes_keep_the_name_of_the_recipe_and_the_seed(lenet, tmp_path):
    net = cmodel.compress(lenet, "kmeans-huffman", seed=3)
    container.write(net, tmp_path / "x.cmodel")
    notes = container.read(tmp_path / "x.cmodel").notes
    assert notes == {"recipe": {"name": "kmeans-huffman"}, "seed": 3}


def test_a_coded_tensor_costs_at_most_16_bytes_beside_its_streams(lenet, tmp_path):
    net = cmodel.compress(lenet, "kmeans-huffman")
    path = tmp_path / "x.cmodel"
    path.write_bytes(packed(net))
    opened = container.Container(path)
    directory = opened.manifest.directory
    assert len(directory) - 1 <= 16 * len(opened.tensors)
