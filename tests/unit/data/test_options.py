from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from cmodel.data import merge, transform_from_layer, transform_from_options
from cmodel.errors import DataError, UnsupportedError, UsageError
from cmodel.net import InputTransform
from cmodel.proto import caffe_pb2

MEAN = np.arange(12, dtype=np.float32).reshape(3, 2, 2)


def load_mean(path):
    assert path.read_bytes() == b"mean"
    return MEAN


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mean.binaryproto").write_bytes(b"mean")
    return tmp_path


def layer(text):
    return text_format.Parse(text, caffe_pb2.LayerParameter())


def options(**given):
    return transform_from_options(**given, load_mean=load_mean)


def test_options_state_only_what_is_given():
    assert options().is_identity
    assert options(
        resize="256", crop="227x225", scale=[0.5], mean_value=[1, 2, 3]
    ) == InputTransform(resize=(256, 256), crop=(227, 225), scale=(0.5,), mean_values=(1, 2, 3))
    assert options(gray=True).channel_order == "gray"
    assert options(channel_order="rgb").channel_order == "rgb"


def test_a_mean_file_is_loaded(folder):
    assert np.array_equal(options(mean_file=folder / "mean.binaryproto").mean_image, MEAN)


@pytest.mark.parametrize("shape", [(3, 2, 2), (1, 3, 2, 2), (2, 2)])
def test_a_mean_file_may_be_npy(tmp_path, shape):
    mean = np.ones(shape)
    np.save(tmp_path / "mean.npy", mean)
    loaded = options(mean_file=tmp_path / "mean.npy").mean_image
    assert loaded.dtype == np.float32
    assert loaded.shape == ((1, 2, 2) if len(shape) == 2 else (3, 2, 2))


def test_a_mean_of_another_rank_is_refused(tmp_path):
    np.save(tmp_path / "mean.npy", np.ones(3))
    with pytest.raises(DataError, match="C x H x W"):
        options(mean_file=tmp_path / "mean.npy")


def test_a_missing_mean_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"No such file(.|\n)*gone\.binaryproto"):
        options(mean_file=tmp_path / "gone.binaryproto")


@pytest.mark.parametrize(
    "given",
    [
        {"resize": "0"},
        {"crop": "3x"},
        {"crop": "-3"},
        {"resize": "9999999"},
        {"mean_value": [1], "mean_file": Path("m")},
        {"gray": True, "channel_order": "rgb"},
        {"channel_order": "grb"},
        {"scale": [float("nan")]},
    ],
)
def test_wrong_options_are_refused(given):
    with pytest.raises(UsageError):
        options(**given)


def test_merge_goes_field_by_field():
    base = InputTransform(resize=(8, 8), crop=(4, 4), scale=(2,), mean_image=MEAN)
    merged = merge(base, InputTransform(crop=(5, 5), mean_values=(0,), channel_order="rgb"))
    assert merged == InputTransform(
        resize=(8, 8), crop=(5, 5), scale=(2,), mean_values=(0,), channel_order="rgb"
    )
    assert merge(base, InputTransform()) == base
    assert merge(None, base) is base
    assert merge(InputTransform(mean_values=(1,)), base).mean_values == ()


def test_an_image_data_layer(folder):
    found = transform_from_layer(
        layer(
            """name: "d" type: "ImageData"
            transform_param { scale: 0.5 mirror: true crop_size: 4 mean_file: "mean.binaryproto" }
            image_data_param { source: "val.txt" root_folder: "images/" batch_size: 50
                               new_height: 6 new_width: 7 is_color: false }"""
        ),
        folder,
        load_mean=load_mean,
    )
    assert found.transform == InputTransform(
        resize=(6, 7), crop=(4, 4), scale=(0.5,), mean_image=MEAN, channel_order="gray"
    )
    assert (found.source, found.root) == (folder / "val.txt", folder / "images")
    assert found.batch_size == 50


def test_a_data_layer(folder):
    found = transform_from_layer(
        layer(
            """name: "d" type: "Data"
            transform_param { mean_value: 104 mean_value: 117 mean_value: 123 force_color: true }
            data_param { source: "test_lmdb" batch_size: 10 }"""
        ),
        folder,
        load_mean=load_mean,
    )
    assert found.transform == InputTransform(mean_values=(104, 117, 123), channel_order="bgr")
    assert (found.source, found.root, found.batch_size) == (folder / "test_lmdb", None, 10)


def test_force_gray(folder):
    text = 'type: "MemoryData" transform_param { force_gray: true } memory_data_param { batch_size: 3 }'
    found = transform_from_layer(layer(text), folder, load_mean=load_mean)
    assert found.transform.channel_order == "gray"
    assert (found.source, found.batch_size) == (None, 3)


def test_an_input_layer_states_nothing(folder):
    found = transform_from_layer(layer('type: "Input"'), folder, load_mean=load_mean)
    assert found.transform.is_identity


def test_paths_are_sought_in_the_working_directory_too(folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    text = 'type: "Data" transform_param { mean_file: "mean.binaryproto" }'
    found = transform_from_layer(layer(text), elsewhere, load_mean=load_mean)
    assert np.array_equal(found.transform.mean_image, MEAN)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('type: "Python"', UnsupportedError),
        ('type: "ImageData" image_data_param { new_height: 3 }', DataError),
        (
            'type: "Data" transform_param { mean_file: "mean.binaryproto" mean_value: 1 }',
            DataError,
        ),
        ('type: "Data" transform_param { mean_file: "gone" }', DataError),
    ],
)
def test_what_a_layer_cannot_say(folder, text, error):
    with pytest.raises(error):
        transform_from_layer(layer(text), folder, load_mean=load_mean)
