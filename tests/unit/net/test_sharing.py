"""Which blobs a layer in place changes besides its own, as Caffe's memory has it."""

import pytest

from cmodel.net import Layer, Sharing
from cmodel.proto import caffe_pb2


def layer(kind, bottoms, tops):
    param = caffe_pb2.LayerParameter(name="l", type=kind, bottom=bottoms.split(), top=tops.split())
    return Layer(param, "l")


def changes(*layers):
    sharing = Sharing()
    return [sharing.enter(layer(*entry)) for entry in layers][-1]


@pytest.mark.parametrize(
    "share",
    [("Flatten", "a", "b"), ("Reshape", "a", "b"), ("Concat", "a", "b"), ("Slice", "a", "b")],
)
def test_tops_on_the_memory_of_the_bottom(share):
    assert changes(share, ("ReLU", "b", "b")) == {"a": "b"}
    assert changes(share, ("ReLU", "a", "a")) == {"b": "a"}


def test_all_that_lie_on_one_memory():
    start = [("Split", "a", "b c"), ("Flatten", "c", "d"), ("Reshape", "d", "e")]
    assert changes(*start, ("ReLU", "d", "d")) == {"a": "d", "b": "d", "c": "d", "e": "d"}
    assert changes(*start, ("Power", "d", "f"), ("ReLU", "f", "f")) == {}
    assert changes(*start, ("ReLU", "d", "z")) == {}


def test_copies_share_nothing():
    for kind, tops in (("Slice", "b c"), ("Dropout", "b"), ("Power", "b"), ("Silence", "")):
        assert changes((kind, "a", tops), ("ReLU", "a", "a")) == {}
    assert changes(("Concat", "a x", "b"), ("ReLU", "b", "b")) == {}
