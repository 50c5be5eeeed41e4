"""Damaged caffemodels give an error of ours, or load; they never crash."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmodel.caffe import load_net, read_caffemodel
from cmodel.caffe.wire import encode_varint
from cmodel.errors import CmodelError
from cmodel.proto import caffe_pb2

NET = """
input: "x" input_shape { dim: 1 dim: 3 }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }
layer { name: "b" type: "Odd" bottom: "y" top: "z" }
"""


def whole():
    """Return a caffemodel with layers of all generations."""
    message = caffe_pb2.NetParameter(name="net")
    layer = message.layer.add(name="a", type="InnerProduct", bottom=["x"], top=["y"])
    for shape in ((4, 3), (4,)):
        blob = layer.blobs.add(data=range(int(np.prod(shape))), diff=[1, 2])
        blob.shape.dim.extend(shape)
    old = message.layers.add(name="b", type=caffe_pb2.V1LayerParameter.CONVOLUTION)
    old.blobs.add(num=1, channels=1, height=1, width=2, double_data=[1, 2])
    oldest = message.layers.add()
    oldest.layer.name = "c"
    oldest.layer.blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    unpacked = b"".join(b"\x2d" + struct.pack("<f", i) for i in range(9))
    tail = b"\x3a" + encode_varint(len(unpacked)) + unpacked + b"\xf3\x7f\x08\x01\xf4\x7f"
    return message.SerializeToString() + b"\xa2\x06" + encode_varint(len(tail)) + tail


WHOLE = whole()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "net.prototxt").write_text(NET)
    return folder / "net.prototxt", folder / "net.caffemodel"


def use(paths, data):
    """Load damaged weights in every way."""
    paths[1].unlink(missing_ok=True)  # the old map stays as it is
    paths[1].write_bytes(data)
    with contextlib.suppress(CmodelError):
        model = read_caffemodel(paths[1])
        for layer in model.layers:
            for blob in layer.blobs:
                assert blob.values().shape == (blob.size,)
        model.net()
    with contextlib.suppress(CmodelError):
        net = load_net(*paths)
        for name, form in net.parameters.items():
            assert form.to_dense().shape == net.parameters.shape(name)


def test_the_whole_file_loads(paths):
    paths[1].write_bytes(WHOLE)
    assert [layer.name for layer in read_caffemodel(paths[1]).layers] == ["b", "c", "a", ""]
    net = load_net(*paths)
    assert net.layer("b").parameters == ["b/0"]


EDITS = st.lists(
    st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 3), st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)
RELAXED = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RELAXED
@given(EDITS)
def test_mutated(paths, edits):
    data = WHOLE
    for at, size, insert in edits:
        data = data[:at] + insert + data[at + size :]
    use(paths, data)


@RELAXED
@given(st.binary(max_size=200))
def test_any_bytes(paths, data):
    use(paths, data)


def test_cut_anywhere(paths):
    for size in range(len(WHOLE)):
        use(paths, WHOLE[:size])
