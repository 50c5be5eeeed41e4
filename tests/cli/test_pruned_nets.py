"""Published pruned nets, packed to a size by the command without a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

import cmodel
from cmodel.compress import compress, parse_recipe

# (folder, weights, bytes, top-1 at least, on the 10,000 test images)
CASES = [
    ("lenet5_dns", "lenet5_sparse_stdtypes", 4500, 99.0),
    ("lenet300100_dns", "lenet300100_sparse_stdtypes", 6000, 97.7),
]


@pytest.mark.data
@pytest.mark.parametrize(("folder", "weights", "size", "top1"), CASES, ids=["lenet5", "300-100"])
def test_pruned_nets_become_small_and_keep_their_masks(
    shared_data: Path, tmp_path, run, folder, weights, size, top1
):
    model, mnist = shared_data / "data" / "models" / folder, shared_data / "data" / "mnist"
    files = model / "deploy.prototxt", model / f"{weights}.caffemodel"
    images = "--data", mnist / "train-images-idx3-ubyte.gz", "--limit", 4000
    out = tmp_path / "x.cmodel"
    target = "--size", size, "--scale", 1 / 256
    assert run("pack", *files, "-o", out, *target, *images).status == 0
    assert out.stat().st_size <= size
    measured = run("eval", out, "--json", "--data", mnist / "t10k-images-idx3-ubyte.gz")
    assert measured.json["top1"] >= top1
    # Without dead channels the original has the same shapes.
    original = compress(cmodel.load(*files), parse_recipe('[[step]]\nmethod = "prune.dead"', "r"))
    packed = cmodel.load(out)
    for layer in packed.layers:
        for name in layer.parameters[:1]:
            zero = original.parameters[name].to_dense() == 0
            assert zero.mean() > 0.5
            assert not packed.parameters[name].to_dense()[zero].any()
