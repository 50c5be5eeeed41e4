"""Weights meet their net: names, shapes, sharing, fillers, and every mismatch."""

import numpy as np
import pytest

from cmodel.caffe import load_mean, load_net, print_prototxt, write_caffemodel
from cmodel.errors import (
    CaffemodelError,
    InputError,
    LimitError,
    NetError,
    PrototxtError,
    UnsupportedError,
    UsageError,
    WeightsError,
)
from cmodel.net import layer_keys
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 bias_filler { type: "constant" value: 0.5 } } }
"""
SHAPES = {"conv": [(3, 2, 3, 3), (3,)], "ip": [(5, 12), (5,)]}


@pytest.fixture
def folder(tmp_path):
    """Write a prototxt and a caffemodel; return load_net's arguments."""

    def write(prototxt, weights, *, legacy=False, types=None):
        (tmp_path / "net.prototxt").write_text(prototxt)
        message = caffe_pb2.NetParameter()
        for name, blobs in weights.items():
            layer = message.layer.add(name=name, type=(types or {}).get(name, "Any"))
            for values in blobs:
                if isinstance(values, tuple):
                    values = values_of(name, values)
                blob = layer.blobs.add(data=np.asarray(values, np.float32).ravel())
                if legacy:
                    shape = (1,) * (4 - values.ndim) + values.shape
                    blob.num, blob.channels, blob.height, blob.width = shape
                else:
                    blob.shape.dim.extend(values.shape)
                    blob.shape.SetInParent()
        (tmp_path / "net.caffemodel").write_bytes(message.SerializeToString())
        return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"

    return write


def values_of(name, shape):
    rng = np.random.default_rng(len(name) + sum(shape))
    return rng.normal(size=shape).astype(np.float32)


def test_names_shapes_and_values(folder):
    net = load_net(*folder(NET, SHAPES), strict=True)
    assert list(net.parameters) == ["conv/0", "conv/1", "ip/0", "ip/1"]
    assert net.layer("conv").parameters == ["conv/0", "conv/1"]
    assert net.layer("data").parameters == []
    assert net.parameter_count() == 54 + 3 + 60 + 5
    assert net.parameters.shape("ip/0") == (5, 12)
    np.testing.assert_array_equal(net.parameters["ip/0"].to_dense(), values_of("ip", (5, 12)))
    assert all(not layer.param.blobs for layer in net.layers)
    assert net.header == caffe_pb2.NetParameter(name="small")


def test_arrays_are_aligned(folder):
    net = load_net(*folder(NET, SHAPES))
    assert all(form.to_dense().flags.aligned for form in net.parameters.values())


def test_legacy_shapes_are_padded_on_the_left(folder):
    net = load_net(*folder(NET, SHAPES, legacy=True), strict=True)
    assert {name: net.parameters.shape(name) for name in net.parameters} == {
        "conv/0": (3, 2, 3, 3),
        "conv/1": (3,),
        "ip/0": (5, 12),
        "ip/1": (5,),
    }


def test_legacy_shapes_without_a_known_input(folder):
    text = NET.replace("input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } }", "")
    net = load_net(*folder(text.replace('"Input"', '"Data"'), SHAPES, legacy=True), strict=True)
    assert net.parameters.shape("ip/0") == (5, 12)
    assert net.parameters.shape("conv/1") == (3,)
    assert net.parameters.shape("conv/0") == (3, 2, 3, 3)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"conv": [(3, 2, 3, 3)], "ip": SHAPES["ip"]}, ["2 parameters", "1 blob", "`conv`"]),
        ({**SHAPES, "ip": [(5, 12)] * 3}, ["2 parameters", "3 blobs"]),
        ({**SHAPES, "ip": []}, ["2 parameters", "0 blobs"]),
        ({**SHAPES, "data": [(1,)]}, ["0 parameters", "1 blob", "`data` (Input)"]),
        ({**SHAPES, "ip": [(5, 11), (5,)]}, ["(5, 12) in the net", "(5, 11) in the weights"]),
        ({**SHAPES, "ip": [(12, 5), (5,)]}, ["(5, 12)", "(12, 5)"]),
        ({**SHAPES, "ip": [(1, 1, 5, 12), (5,)]}, ["(1, 1, 5, 12)"]),
        ({"a": [(2,)], "b": [(3,)]}, ["no layer of the net", "`conv`, `ip`", "`a`, `b`"]),
    ],
)
def test_weights_that_do_not_fit(folder, weights, words):
    paths = folder(NET, weights)
    with pytest.raises(WeightsError) as caught:
        load_net(*paths)
    text = str(caught.value)
    for word in (*words, str(paths[0]), str(paths[1])):
        assert word in text
    assert caught.value.exit_code == 3


def test_a_blob_whose_values_do_not_fill_its_shape(folder):
    paths = folder(NET, SHAPES)
    message = caffe_pb2.NetParameter.FromString(paths[1].read_bytes())
    del message.layer[1].blobs[0].data[-1]
    paths[1].write_bytes(message.SerializeToString())
    with pytest.raises(CaffemodelError, match=r"holds 59 values, not 60"):
        load_net(*paths)


def test_missing_layers_are_filled_and_told(folder):
    paths = folder(NET, {"ip": SHAPES["ip"]})
    told = []
    net = load_net(*paths, on_warning=told.append)
    assert len(told) == 1
    assert "lack 1 layer (`conv`)" in told[0]
    assert "drawn at random: conv/0" in told[0]
    assert net.notes["unfilled"] == ["conv/0"]
    limit = np.sqrt(3 / 18)
    weights = net.parameters["conv/0"].to_dense()
    assert weights.shape == (3, 2, 3, 3)
    assert weights.std() > 0
    assert np.abs(weights).max() <= limit
    np.testing.assert_array_equal(weights, load_net(*paths).parameters["conv/0"].to_dense())
    assert not net.parameters["conv/1"].to_dense().any()

    net = load_net(*folder(NET, {"conv": SHAPES["conv"]}), on_warning=told.append)
    assert "unfilled" not in net.notes
    assert (net.parameters["ip/1"].to_dense() == 0.5).all()
    assert list(net.parameters) == ["conv/0", "conv/1", "ip/0", "ip/1"]


def test_missing_layers_of_absurd_size(folder):
    text = NET.replace("num_output: 5", "num_output: 100000000")
    with pytest.raises(LimitError, match="1,200,000,000 values are too many"):
        load_net(*folder(text, {"conv": SHAPES["conv"]}))


def test_missing_layers_of_absurd_size_together(folder, monkeypatch):
    monkeypatch.setattr("cmodel.caffe.load.MAX_FILL", 100)
    paths = folder(NET, {"ip": SHAPES["ip"]})
    load_net(*paths)
    monkeypatch.setattr("cmodel.caffe.load.MAX_FILL", 54)
    with pytest.raises(LimitError, match="`conv/1` is missing in the weights, and 57 values"):
        load_net(*paths)


@pytest.mark.parametrize("options", [{"strict": True}, {"allow_missing": False}])
def test_missing_layers_as_errors(folder, options):
    with pytest.raises(WeightsError, match="lack 1 layer"):
        load_net(*folder(NET, {"ip": SHAPES["ip"]}), **options)


def test_strangers_in_the_weights(folder):
    paths = folder(NET, {**SHAPES, "fc9": [(2,)], "relu": []})
    told = []
    load_net(*paths, on_warning=told.append, allow_missing=False)
    assert len(told) == 1
    assert "1 layer (`fc9`)" in told[0]
    with pytest.raises(WeightsError, match="fc9"):
        load_net(*paths, strict=True)


def test_no_weights(folder):
    prototxt, _ = folder(NET, {})
    with pytest.raises(WeightsError, match=r"2 layers \(`conv`, `ip`\)"):
        load_net(prototxt)
    net = load_net(prototxt, require_weights=False)
    assert len(net.parameters) == 0
    assert net.layer("conv").parameters == []
    prototxt.write_text("input: 'x' layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'y' }")
    assert load_net(prototxt).outputs == ["y"]


SIAMESE = """
input: "a" input_shape { dim: 1 dim: 4 } input: "b" input_shape { dim: 1 dim: 4 }
layer { name: "left" type: "InnerProduct" bottom: "a" top: "l" param { name: "w" } param { name: "c" }
  inner_product_param { num_output: 2 } }
layer { name: "right" type: "InnerProduct" bottom: "b" top: "r" param { name: "w" } param { }
  inner_product_param { num_output: 2 } }
"""


def test_shared_parameters(folder, tmp_path):
    weights = np.ones((2, 4), np.float32)
    bias = np.arange(2, dtype=np.float32)
    paths = folder(SIAMESE, {"left": [weights, bias], "right": [weights * 2, bias]})
    net = load_net(*paths, strict=True)
    assert list(net.parameters) == ["left/0", "left/1", "right/1"]
    assert net.layer("right").parameters == ["left/0", "right/1"]
    # In Caffe the last values read into the shared memory remain.
    assert (net.parameters["left/0"].to_dense() == 2).all()
    assert net.parameter_count() == 8 + 2 + 2

    with (tmp_path / "again.caffemodel").open("wb") as file:
        write_caffemodel(net, file)
    message = caffe_pb2.NetParameter.FromString((tmp_path / "again.caffemodel").read_bytes())
    assert [len(layer.blobs) for layer in message.layer] == [2, 2]

    reverse = folder(SIAMESE, {"right": [weights * 2, bias], "left": [weights, bias]})
    assert (load_net(*reverse).parameters["left/0"].to_dense() == 1).all()
    alone = folder(SIAMESE, {"right": [weights * 2, bias]})
    told = []
    net = load_net(*alone, on_warning=told.append)
    assert (net.parameters["left/0"].to_dense() == 2).all()
    assert "`left`" in told[0]


def test_sharing_different_shapes(folder):
    other = SIAMESE.replace('bottom: "b" top: "r"', 'bottom: "c" top: "r"').replace(
        'layer { name: "left"',
        'layer { name: "s" type: "Reshape" bottom: "b" top: "c" '
        'reshape_param { shape { dim: 2 dim: 2 } } }\nlayer { name: "left"',
    )
    with pytest.raises(NetError, match="share the parameter `w`"):
        load_net(*folder(other, {"left": [(2, 4), (2,)]}))
    weights = {"left": [(2, 4), (2,)], "right": [(4, 2), (4,)]}
    permissive = other.replace('{ name: "w" } param { }', '{ name: "w" share_mode: PERMISSIVE }')
    head, _, tail = permissive.rpartition("num_output: 2")
    net = load_net(*folder(head + "num_output: 4" + tail, weights), strict=True)
    assert net.layer("right").parameters == ["left/0", "right/1"]
    assert net.parameters["left/0"].shape == (2, 4)


REPEATED = """
input: "x" input_shape { dim: 1 dim: 2 }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "b"
  inner_product_param { num_output: 1 weight_filler { type: "msra" } } }
"""


def test_repeated_names(folder):
    """The first of them gets the weights, as in Caffe."""
    told = []
    net = load_net(*folder(REPEATED, {"ip": [(1, 2), (1,)]}), on_warning=told.append)
    assert [layer.key for layer in net.layers] == ["ip", "ip#2"]
    assert list(net.parameters) == ["ip/0", "ip/1", "ip#2/0", "ip#2/1"]
    assert net.layer("ip#2").parameters == ["ip#2/0", "ip#2/1"]
    assert net.notes["unfilled"] == ["ip#2/0"]
    assert len(told) == 1
    assert "`ip#2`" in told[0]


def test_repeated_names_beside_a_name_that_looks_like_a_key():
    assert layer_keys(["a", "a", "a#2", "b", "a", "a#2"]) == [
        "a",
        "a#3",
        "a#2",
        "b",
        "a#4",
        "a#2#2",
    ]


def test_scalar_blobs(folder):
    text = """input: "x" input_shape { dim: 2 dim: 3 }
    layer { name: "s" type: "Scale" bottom: "x" top: "y" scale_param { num_axes: 0 } }"""
    net = load_net(*folder(text, {"s": [np.float32(3)]}), strict=True)
    assert net.parameters["s/0"].to_dense().shape == ()
    assert net.parameters["s/0"].to_dense() == 3


FORK = """
input: "x" input_shape { dim: 1 dim: 3 }
layer { name: "odd" type: "MyLayer" bottom: "x" top: "y" my_param { a: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z" inner_product_param { num_output: 2 } }
"""


def test_unknown_types_take_what_the_file_has(folder, tmp_path):
    paths = folder(FORK, {"odd": [(7, 2), (1, 1, 4)], "ip": [(2, 9), (2,)]})
    told = []
    net = load_net(*paths, on_warning=told.append)
    assert net.layer("odd").parameters == ["odd/0", "odd/1"]
    assert net.parameters.shape("odd/1") == (1, 1, 4)
    assert net.parameters.shape("ip/0") == (2, 9)
    assert len(told) == 1
    assert "`my_param`" in told[0]
    assert "  3:58 field" in told[0]
    (tmp_path / "again.prototxt").write_text(print_prototxt(net))
    again = load_net(tmp_path / "again.prototxt", paths[1])
    assert [entry.text for entry in again.layer("odd").unknown] == ["my_param { a: 1 }"]
    with pytest.raises(UnsupportedError, match="my_param"):
        load_net(*paths, strict=True)


def test_unknown_fields_hint_at_the_nearest_known(folder):
    text = NET.replace("num_output: 3", "num_output: 3 kernel_sise: 3")
    told = []
    load_net(*folder(text, SHAPES), on_warning=told.append)
    assert "`kernel_sise` in `convolution_param`" in told[0]
    assert "did you mean `kernel_size`?" in told[0]


def test_weights_in_the_prototxt_itself(folder):
    text = """input: "x" input_shape { dim: 1 dim: 2 }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 1 bias_term: false }
      blobs { shape { dim: 1 dim: 2 } data: 1.5 data: -2 } }"""
    prototxt, _ = folder(text, {})
    net = load_net(prototxt, strict=True)
    assert net.parameters["ip/0"].to_dense().tolist() == [[1.5, -2.0]]
    assert not net.layer("ip").param.blobs


def test_rules(folder):
    text = "input: 'x' layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'y' RULE }"
    keep = {
        "include { phase: TEST }": True,
        "include { phase: TRAIN }": False,
        "exclude { phase: TEST }": False,
        "include { stage: 's' }": False,
        "include { not_stage: 's' }": True,
        "include { min_level: 1 }": False,
        "include { max_level: 0 min_level: 0 }": True,
        "include { phase: TRAIN } include { }": True,
    }
    for rule, kept in keep.items():
        prototxt, _ = folder(text.replace("RULE", rule), {})
        assert bool(load_net(prototxt).layers) == kept, rule
    prototxt, _ = folder(
        "state { stage: 's' } " + text.replace("RULE", "include { stage: 's' stage: 't' }"), {}
    )
    assert not load_net(prototxt).layers
    assert load_net(prototxt, stages=["t"]).layers
    prototxt, _ = folder(text.replace("RULE", "include { } exclude { }"), {})
    with pytest.raises(NetError, match="not both"):
        load_net(prototxt)
    with pytest.raises(UsageError, match="TRAIN or TEST"):
        load_net(prototxt, phase="test")


def test_other_errors(folder, tmp_path):
    with pytest.raises(InputError, match="cannot read the prototxt"):
        load_net(tmp_path / "none.prototxt")
    prototxt, weights = folder("layer { name: 'a' } layers { name: 'b' }", {"a": [(1,)]})
    with pytest.raises(NetError, match="mixes"):
        load_net(prototxt)
    with pytest.raises(PrototxtError):
        load_net(weights, prototxt)
    prototxt.write_text(NET)
    with pytest.raises(CaffemodelError, match="not a binary file"):
        load_net(prototxt, prototxt)
    net = load_net(*folder(NET.replace('"xavier"', '"xavierr"'), {"ip": SHAPES["ip"]}))
    with pytest.raises(UnsupportedError, match="`xavierr`"):
        net.parameters["conv/0"]


@pytest.mark.parametrize("legacy", [True, False])
def test_mean_images(tmp_path, legacy):
    values = values_of("mean", (3, 2, 4))
    blob = caffe_pb2.BlobProto(data=values.ravel())
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = 1, 3, 2, 4
    else:
        blob.shape.dim.extend((3, 2, 4))
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(blob.SerializeToString())
    mean = load_mean(path)
    np.testing.assert_array_equal(mean, values)
    assert mean.flags.owndata or mean.base.flags.owndata
    blob.data.append(0)
    path.write_bytes(blob.SerializeToString())
    with pytest.raises(CaffemodelError, match="holds 25 values, not 24"):
        load_mean(path)
    path.write_bytes(caffe_pb2.BlobProto(data=[1, 2]).SerializeToString())
    with pytest.raises(CaffemodelError, match="no mean image"):
        load_mean(path)
    path.write_bytes(b"")
    with pytest.raises(CaffemodelError, match="empty"):
        load_mean(path)


@pytest.mark.parametrize("special", [np.nan, np.inf, -0.0, 1e-45])
def test_saving_keeps_every_bit(folder, tmp_path, special):
    odd = np.full(5, special, np.float32)
    odd.view(np.uint32)[0] = 0x7F800001  # a signalling NaN
    paths = folder(NET, {"conv": SHAPES["conv"], "ip": [(5, 12), (5,)]})
    original = load_net(*paths)
    original.parameters["ip/1"] = Dense(odd)
    with (tmp_path / "saved.caffemodel").open("wb") as file:
        size = write_caffemodel(original, file)
    saved = tmp_path / "saved.caffemodel"
    assert size == saved.stat().st_size
    again = load_net(paths[0], saved, strict=True)
    for name in original.parameters:
        expected = original.parameters[name].to_dense().view(np.uint32)
        np.testing.assert_array_equal(again.parameters[name].to_dense().view(np.uint32), expected)
