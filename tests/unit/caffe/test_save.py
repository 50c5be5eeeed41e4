"""Lengths of what is written, beyond what a test can write."""

from cmodel.caffe.save import _blob_head
from cmodel.proto import caffe_pb2


def test_heads_of_blobs_over_4_gb():
    head, values = _blob_head((40_000, 50_000))
    assert values == 8_000_000_000
    # blobs = 7, its length: 5 bytes; shape: 2 + 8 bytes; data = 5, its length: 5 bytes.
    assert head[:1] == b"\x3a"
    assert head[-6:] == b"\x2a\x80\xa0\xd9\xe6\x1d"
    assert len(head) == 1 + 5 + 10 + 6


def test_a_head_and_its_values_are_a_blob():
    head, values = _blob_head((2, 1))
    blob = caffe_pb2.LayerParameter.FromString(head + b"\0\0\x80\x3f" * 2).blobs[0]
    assert values == 8
    assert (list(blob.shape.dim), list(blob.data)) == ([2, 1], [1, 1])
    scalar, values = _blob_head(())
    blob = caffe_pb2.LayerParameter.FromString(scalar + bytes(values)).blobs[0]
    assert blob.HasField("shape")
    assert (list(blob.shape.dim), list(blob.data)) == ([], [0])
