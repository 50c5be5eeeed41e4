"""Caffe's DataTransformer at TEST: what its Data layer put out for raw images, to the bit."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from cmodel.data import prepare, transform_from_layer
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
