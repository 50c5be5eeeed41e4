"""Random nets give the same in OpenCV's reader and engine of Caffe nets: 200 in a run.

More by hand: `python -m tests.oracle.test_random_nets 200 5000` runs those seeds.
"""

import sys
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("cv2")

from tests.oracle.opencv import run_opencv
from tests.oracle.random_nets import random_net

from cmodel.engine import Engine

NETS = 200
# Largest difference, relative to the largest magnitude of a blob and of what its layer reads. Of
# 10,000 nets the worst differ by 4e-5, where values cancel behind a normalisation; nine in ten by
# less than 1e-6.
TOLERANCE = 5e-5
# Sums of values that cancel keep the rounding of what was added.
LEAST = 0.1


def check(seed: int) -> Counter:
    """Compare every blob of a net that is its layer's first top; return the types it has."""
    net, x = random_net(seed)
    writers = {layer.tops[0]: layer for layer in net.layers[1:]}
    ours = Engine(net, threads=2).run({"data": x}, blobs="all")
    theirs = run_opencv(net, {"data": x}, [layer.name for layer in writers.values()])
    for blob, layer in writers.items():
        found, expected = ours[blob], theirs[layer.name]
        assert found.shape == expected.shape, f"net {seed}, {blob}: {layer.param}"
        largest = max(np.abs(ours[name]).max() for name in (blob, *layer.bottoms))
        error = np.abs(found - expected).max() / max(largest, LEAST)
        assert error <= TOLERANCE, f"net {seed}, {blob}: {error:.2g}\n{layer.param}"
    return Counter(layer.type for layer in net.layers)


@pytest.mark.parametrize("seed", range(NETS))
def test_agrees_with_opencv(seed):
    assert check(seed).total() > 4


def test_the_nets_are_varied():
    types = Counter()
    for seed in range(NETS):
        types.update(layer.type for layer in random_net(seed)[0].layers)
    assert len(types) >= 30
    for kind in (
        "Convolution",
        "Pooling",
        "Eltwise",
        "Concat",
        "BatchNorm",
        "Slice",
        "Deconvolution",
    ):
        assert types[kind] >= 50, kind


if __name__ == "__main__":
    first, end = map(int, sys.argv[1:])
    total = sum((check(seed) for seed in range(first, end)), Counter())
    print(f"{end - first} nets agree; layers: {dict(total.most_common())}")
