"""Caffe's DataTransformer at TEST: what its Data layer put out for raw images, to the bit."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tests.unit.data.making import write_lmdb

from cmodel.data import batches, open_layer, prepare, transform_from_layer
from cmodel.proto import caffe_pb2

GOLDEN = Path(__file__).with_name("data_transformer.npz")
CASES = ("meanfile_crop5", "meanfile_crop6_scale", "meanvalue1_crop4", "meanvalue3_scale", "none")


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_caffe(case, tmp_path):
    with np.load(GOLDEN) as golden:
        net = text_format.Parse(str(golden[f"{case}.prototxt"]), caffe_pb2.NetParameter())
        mean, expected = golden["mean"][0], golden[case]
        (tmp_path / "mean.binaryproto").write_bytes(golden["mean_binaryproto"].tobytes())
        # A datum's planes are blue, green, red; our images are RGB.
        images = np.moveaxis(golden["datum_u8"], 1, 3)[..., ::-1]
    loaded = []

    def load_mean(path):
        loaded.append(path.name)
        return mean

    layer = transform_from_layer(net.layer[0], tmp_path, load_mean=load_mean)
    assert layer.source == tmp_path / "datum_lmdb"
    assert layer.batch_size == 4
    assert loaded == (["mean.binaryproto"] if "meanfile" in case else [])
    x = prepare(images, layer.transform, expected.shape)
    assert x.dtype == np.float32
    assert np.array_equal(x, expected)


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_caffe_from_a_database(case, tmp_path):
    with np.load(GOLDEN) as golden:
        net = text_format.Parse(str(golden[f"{case}.prototxt"]), caffe_pb2.NetParameter())
        mean, expected, planes = golden["mean"][0], golden[case], golden["datum_u8"]
    (tmp_path / "mean.binaryproto").touch()
    datums = [
        caffe_pb2.Datum(channels=3, height=9, width=8, data=x.tobytes(), label=i)
        for i, x in enumerate(planes)
    ]
    write_lmdb(tmp_path / "datum_lmdb", datums)
    layer = transform_from_layer(net.layer[0], tmp_path, load_mean=lambda path: mean)
    with open_layer(layer) as source:
        indices = np.arange(len(source))
        found = [x for x, _ in batches(source, indices, layer.transform, None, layer.batch_size)]
        assert source.labels.tolist() == indices.tolist()
    np.testing.assert_array_equal(np.concatenate(found), expected)
