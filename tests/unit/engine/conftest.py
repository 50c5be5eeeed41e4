"""Nets for the engine's tests, and the tests of a file at other SIMD levels."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from google.protobuf import text_format

from cmodel import _simd
from cmodel.net import Layer, Net, Parameters, infer_shapes, layer_keys, parameter_name
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense


def parse(text: str) -> Net:
    header = caffe_pb2.NetParameter()
    text_format.Parse(text, header)
    params = list(header.layer)
    del header.layer[:]
    keys = layer_keys([param.name for param in params])
    layers = [Layer(param, key) for param, key in zip(params, keys, strict=True)]
    return Net(header, layers, Parameters())


def short(text: str) -> str:
    """`Type name: bottoms -> tops {fields}`, one layer a line, as prototxt."""
    lines = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = re.fullmatch(r"(\w+) (\S+): ?(.*?) ?-> ?([^{]*?) ?(?:\{(.*)\})?", line)
        assert match, line
        kind, name, bottoms, tops, fields = match.groups()
        lines.append(
            f'layer {{ name: "{name}" type: "{kind}" '
            + "".join(f'bottom: "{blob}" ' for blob in bottoms.split())
            + "".join(f'top: "{blob}" ' for blob in tops.split())
            + (fields or "")
            + " }"
        )
    return "\n".join(lines)


def filled(net: Net, shapes: Mapping[str, tuple[int, ...]] | None = None, seed: int = 0) -> Net:
    """Give every layer random parameters."""
    rng = np.random.default_rng(seed)
    parameters = infer_shapes(net, shapes).parameters
    for layer in net.layers:
        for i, shape in enumerate(parameters[layer.key] or ()):
            name = parameter_name(layer.key, i)
            values = rng.standard_normal(shape)
            if layer.type == "BatchNorm" and i > 0:
                values = np.abs(values) + 0.5
            net.parameters[name] = Dense(np.asarray(values, np.float32))
            layer.parameters.append(name)
    return net


@pytest.fixture(scope="session")
def make_net() -> Callable[..., Net]:
    """A net with random parameters from `short` notation."""

    def make(text: str, seed: int = 0) -> Net:
        return filled(parse(short(text)), seed=seed)

    return make


@pytest.fixture(params=_simd.available())
def each_level(request) -> None:
    """Run the other tests of the file in a process of this level."""
    if request.param == _simd.level():
        pytest.skip("this process has it")
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", "not test_levels"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(request.path)],
        env={**os.environ, "CMODEL_SIMD": request.param},
        check=True,
        timeout=600,
    )
