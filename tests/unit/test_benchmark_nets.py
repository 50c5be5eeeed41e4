"""The networks that benchmarks are made with."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from cmodel import load
from cmodel.caffe import load_net
from cmodel.net import infer_shapes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("make_net", BENCHMARKS / "make_net.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "parameters"), [("lenet", 431_080), ("caffenet", 60_965_224), ("vgg16", 138_357_544)]
)
def test_they_have_the_published_numbers_of_parameters(name, parameters):
    net = load_net(BENCHMARKS / "nets" / f"{name}.prototxt", require_weights=False, strict=True)
    needed = infer_shapes(net).parameters.values()
    assert sum(int(np.prod(shape)) for shapes in needed for shape in shapes) == parameters
    assert net.outputs == ["prob"]


def test_weights_are_drawn(module, tmp_path):
    prototxt, weights = module.make_net("lenet", tmp_path / "a", seed=1)
    net = load(prototxt, weights, strict=True)
    assert net.parameter_count() == 431_080
    values = net.parameters["ip1/0"].to_dense()
    assert values.std() == pytest.approx((2 / 800) ** 0.5, rel=0.01)
    assert not net.parameters["ip1/1"].to_dense().any()
    again = module.make_net("lenet", tmp_path / "b", seed=1)[1]
    assert again.read_bytes() == weights.read_bytes()
    other = module.make_net("lenet", tmp_path / "c", seed=2)[1]
    assert other.read_bytes() != weights.read_bytes()
