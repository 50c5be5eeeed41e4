import io

import numpy as np
import pytest
from tests.nets import make_net

from cmodel import container
from cmodel.codecs import CODERS
from cmodel.container.levels import coders_for
from cmodel.tensors import Dense, Linear


def test_coders_of_levels():
    fast = ("packed", "huffman", "rans", "split"), ()
    everything = CODERS, ("mask",)
    for level in (1, 2):
        assert coders_for(level, 0) == fast
    for level in range(3, 9):
        assert coders_for(level, 1_250_000) == everything
        assert coders_for(level, 1_250_001) == fast
    assert coders_for(9, 10**9) == everything
    for level in (0, 10):
        with pytest.raises(ValueError, match="levels are 1 to 9"):
            coders_for(level, 0)


def test_levels_bound_the_coders_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    sizes = rng.gamma(1, size=(40, 1)) * rng.gamma(1, size=50)
    ints = np.rint(rng.laplace(size=(40, 50)) * sizes).astype(np.int8)
    form = Linear(Dense(np.ones(1, np.float32)), np.zeros(1, np.int32), ints)
    net = make_net('layer { name: "a" type: "Any" }', {"a": [form]})
    sizes = {}
    for level in container.LEVELS:
        file = io.BytesIO()
        sizes[level] = container.write_to(file, net, level=level)
        assert len(file.getvalue()) == sizes[level]
    assert sizes[1] == sizes[2] > sizes[3] == sizes[container.DEFAULT_LEVEL] == sizes[9]
    assert container.write(net, tmp_path / "x.cmodel", level=1) == sizes[1]
    with pytest.raises(ValueError, match="levels are"):
        container.write_to(io.BytesIO(), net, level=0)
