import io

import numpy as np
import pytest
from tests.nets import make_net

from cmodel import container
from cmodel.codecs import CODERS
from cmodel.container.levels import choose, coders_for
from cmodel.tensors import Dense, Linear


def test_coders_of_levels():
    fast = ("packed", "huffman", "rans", "split"), ()
    everything = CODERS, ("mask",)
    for level in (1, 2):
        assert coders_for(level, 0) == fast
    assert coders_for(6, 2_777_777) == everything
    assert coders_for(6, 2_777_778) == coders_for(5, 2_777_777) == fast
    assert coders_for(7, 2_777_778) == everything
    assert coders_for(9, 10**9) == everything
    for level in (0, 10):
        with pytest.raises(ValueError, match="levels are 1 to 9"):
            coders_for(level, 0)


def test_the_most_saved_for_its_time_comes_first():
    tensors = [(100, 40_000_000), (90, 20_000_000), (0, 0), (50, 20_000_000), (1, 20_000_000)]
    assert choose(tensors, 6) == {1, 3}
    assert choose(tensors, 9) == {0, 1, 3, 4}
    assert choose(tensors, 1) == set()


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
