"""The networks that benchmarks are made with."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from cmodel import load
from cmodel.caffe import load_net
from cmodel.net import infer_shapes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load_module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def module():
    return load_module(BENCHMARKS / "make_net.py")


# Of those with BatchNorm: what is published, mean and variance of each channel, a factor a layer.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("caffenet", 60_965_224),
        ("cifar10_quick", 145_578),
        ("googlenet", 6_998_552),
        ("lenet", 431_080),
        ("mobilenet_v1", 4_231_976 + 2 * 10_944 + 27),
        ("resnet18", 11_689_512 + 2 * 4_800 + 20),
        ("resnet50", 25_557_032 + 2 * 26_560 + 53),
        ("squeezenet_v1.1", 1_235_496),
        ("vgg16", 138_357_544),
    ],
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


def test_values_of_norms_are_near_those_that_change_nothing(module, tmp_path):
    net = load(*module.make_net("resnet18", tmp_path), strict=True)
    for layer in net.layers:
        values = [net.parameters[name].to_dense() for name in layer.parameters]
        if layer.type == "BatchNorm":
            assert abs(values[0]).max() < 0.6
            assert 0.8 <= values[1].min() < values[1].max() <= 1.2
            assert values[2] == 1
        if layer.type == "Scale":
            around = 0.25 if layer.key.endswith("branch2b") else 1.0
            assert values[0].mean() == pytest.approx(around, rel=0.05)


def test_generated_nets_are_up_to_date():
    for name, text in load_module(BENCHMARKS / "nets" / "generate.py").texts().items():
        path = BENCHMARKS / "nets" / f"{name}.prototxt"
        assert path.read_text("utf-8") == text, "run `python benchmarks/nets/generate.py`"
