"""Every encoding of the same net and weights gives the same bits."""

import io

import numpy as np
import pytest

from cmodel.caffe import load_mean, load_net, print_prototxt, write_caffemodel

SAME = (
    "legacy_input_dim",
    "legacy_input_shape",
    "prototxt_text_syntax",
    "train_val_as_test",
    "v0_prototxt_v0_model",
    "v1_prototxt_v1_model",
    "v1_prototxt_v2_model",
    "v2_double_data",
    "v2_extra_and_reordered_layers",
    "v2_legacy_4d_blobs",
    "v2_prototxt_v0_model",
    "v2_prototxt_v1_model",
    "v2_shape_unpacked",
    "v2_split_packed",
    "v2_unknown_fields",
    "v2_unpacked",
    "v2_with_diff",
)


def load(folder, **options):
    return load_net(folder / "deploy.prototxt", folder / "weights.caffemodel", **options)


def words(net):
    return {
        name: (form.shape, form.to_dense().view(np.uint32).tobytes())
        for name, form in net.parameters.items()
    }


@pytest.fixture(scope="module")
def reference(formats):
    net = load(formats / "v2_packed", strict=True)
    assert {name: net.parameters.shape(name) for name in net.parameters} == {
        "conv1/0": (4, 3, 3, 3),
        "conv1/1": (4,),
        "fc/0": (6, 24),
        "fc/1": (6,),
    }
    return words(net)


@pytest.mark.parametrize("case", SAME)
def test_same_bits_in_every_encoding(case, formats, reference):
    warnings = []
    net = load(formats / case, on_warning=warnings.append)
    assert words(net) == reference
    assert list(net.parameters) == list(reference)
    assert len(warnings) == (case == "v2_extra_and_reordered_layers")


@pytest.mark.parametrize("case", SAME)
def test_saved_again_it_stays_the_same(case, formats, reference, tmp_path):
    net = load(formats / case)
    (tmp_path / "net.prototxt").write_text(print_prototxt(net))
    with (tmp_path / "net.caffemodel").open("wb") as file:
        written = write_caffemodel(net, file)
    assert written == (tmp_path / "net.caffemodel").stat().st_size
    again = load_net(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", strict=True)
    assert words(again) == reference
    assert [layer.param for layer in again.layers] == [layer.param for layer in net.layers]
    assert again.header == net.header


def test_old_layouts_become_the_same_net(formats):
    """V0 and V1 give the layers of V2 (apart from the learning rates that only they state)."""
    nets = {}
    for case in ("v2_packed", "v1_prototxt_v1_model", "v0_prototxt_v0_model"):
        net = load(formats / case)
        for layer in net.layers:
            layer.param.ClearField("param")
        nets[case] = {layer.key: layer.param for layer in net.layers if layer.type != "Input"}
    assert nets["v1_prototxt_v1_model"] == nets["v2_packed"]
    assert nets["v0_prototxt_v0_model"] == nets["v2_packed"]


def test_learning_rates_of_v1_become_param_specs(formats):
    for case in ("v1_prototxt_v1_model", "v0_prototxt_v0_model"):
        specs = load(formats / case).layer("conv1").param.param
        assert [(s.lr_mult, s.decay_mult) for s in specs] == [(1, 1), (2, 0)]


def test_legacy_inputs_are_read(formats):
    for case in ("legacy_input_dim", "legacy_input_shape", "prototxt_text_syntax"):
        assert load(formats / case).inputs == {"data": (2, 3, 9, 8)}


def test_phase_stage_and_level_rules(formats):
    names = [layer.name for layer in load(formats / "train_val_as_test").layers]
    assert "lvl" in names
    assert "notst" in names
    assert "acc" in names
    assert "drop" not in names
    assert "extra" not in names
    assert names.count("d") == 1
    train = load(formats / "train_val_as_test", phase="TRAIN", stages=["never"], level=1)
    names = [layer.name for layer in train.layers]
    assert "drop" in names
    assert "extra" in names
    assert not {"lvl", "notst", "acc", "in"} & set(names)


def test_a_missing_layer_keeps_its_constant_fillers(formats, reference):
    warnings = []
    net = load(formats / "v2_missing_layer", on_warning=warnings.append)
    assert words(net)["conv1/0"] == reference["conv1/0"]
    assert (net.parameters["fc/0"].to_dense() == np.float32(0.05)).all()
    assert (net.parameters["fc/1"].to_dense() == np.float32(-0.5)).all()
    assert len(warnings) == 1
    assert "`fc`" in warnings[0]
    assert "unfilled" not in net.notes


def test_hdf5_weights_have_the_same_bits(formats, reference):
    folder = formats / "hdf5_weights"
    net = load_net(folder / "deploy.prototxt", folder / "weights.caffemodel.h5", strict=True)
    assert words(net) == reference
    assert list(net.parameters) == list(reference)


def test_mean_image(formats):
    mean = load_mean(formats / "mean_binaryproto" / "mean.binaryproto")
    expected = np.load(formats / "mean_binaryproto" / "mean.npy")
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean[None], expected)


def test_written_files_are_v2_packed(formats):
    """What is written is read by protobuf itself as Caffe's layout says."""
    from cmodel.proto import caffe_pb2

    net = load(formats / "v2_legacy_4d_blobs")
    file = io.BytesIO()
    write_caffemodel(net, file)
    message = caffe_pb2.NetParameter.FromString(file.getvalue())
    conv = next(layer for layer in message.layer if layer.name == "conv1")
    assert conv.type == "Convolution"
    assert [tuple(blob.shape.dim) for blob in conv.blobs] == [(4, 3, 3, 3), (4,)]
    weights = net.parameters["conv1/0"].to_dense()
    np.testing.assert_array_equal(np.float32(conv.blobs[0].data), weights.ravel())
