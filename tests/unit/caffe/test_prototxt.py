"""The text format: what is accepted, what is refused and where, what is kept."""

import numpy as np
import pytest
from google.protobuf import text_format

from cmodel.caffe import parse_prototxt, print_prototxt, upgrade_layers
from cmodel.caffe import prototxt as module
from cmodel.errors import LimitError, PrototxtError, UnsupportedError
from cmodel.net import Layer, Net, Parameters, layer_keys
from cmodel.proto import caffe_pb2


def layer_of(text):
    """Parse one V2 layer given by its fields."""
    return parse_prototxt(f"layer {{ {text} }}").message.layer[0]


def net_of(text):
    """Make a Net of a prototxt, as loading does."""
    parsed = parse_prototxt(text)
    upgraded = upgrade_layers(parsed.message, parsed.layers_unknown, parsed.layer_unknown)
    header = caffe_pb2.NetParameter()
    header.CopyFrom(parsed.message)
    header.ClearField("layer")
    header.ClearField("layers")
    keys = layer_keys(item.param.name for item in upgraded)
    layers = [
        Layer(item.param, key, unknown=item.unknown)
        for key, item in zip(keys, upgraded, strict=True)
    ]
    return Net(header, layers, Parameters(), tuple(parsed.unknown))


def tree(net):
    """Everything that a prototxt says, unknown fields by place (order between places is none)."""
    return (
        net.header.SerializeToString(deterministic=True),
        sorted(map(entry_of, net.unknown), key=lambda entry: entry[0]),
        [
            (
                layer.param.SerializePartialToString(deterministic=True),
                sorted(map(entry_of, layer.unknown), key=lambda entry: entry[0]),
            )
            for layer in net.layers
        ],
    )


def entry_of(unknown):
    return unknown.path, unknown.text


SYNTAX = """
# comment ; with { brackets "
name: 'to' "y"  # trailing
input: "data", input_shape: < dim: [2, 3, 0x9, 010] >;
layer: { name: "conv1", type: "Convolution"; bottom: "data" top: "conv1"
  convolution_param: { num_output: 4 kernel_size: [3] pad: 1
    weight_filler { type: "gaussian" std: 1e-2 } bias_filler < value: -.5f > } }
layer { name: "drop" propagate_down: true propagate_down: 0 propagate_down: t }
layer { name: "norm" lrn_param { alpha: 5E-1 beta: .75 norm_region: WITHIN_CHANNEL k: 2. } }
layer { name: "pool" pooling_param { pool: 1 } }
layer [ { name: "a" }, < name: "b" > ]
"""


def test_syntax():
    net = parse_prototxt(SYNTAX).message
    assert net.name == "toy"
    assert list(net.input_shape[0].dim) == [2, 3, 9, 8]
    conv = net.layer[0].convolution_param
    assert list(conv.kernel_size) == [3]
    assert conv.bias_filler.value == -0.5
    assert conv.weight_filler.std == np.float32(1e-2)
    assert list(net.layer[1].propagate_down) == [True, False, True]
    assert net.layer[2].lrn_param.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL
    assert net.layer[3].pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    assert [layer.name for layer in net.layer[4:]] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("- 2.5", -2.5),
        ("1e30", 1e30),
        ("5f", 5.0),
        ("5.F", 5.0),
        ("1e-50", 0.0),
        ("1e39", float("inf")),
        ("-inf", -float("inf")),
        ("Infinity", float("inf")),
        ("0", 0.0),
    ],
)
def test_floats(text, value):
    assert layer_of(f"power_param {{ scale: {text} }}").power_param.scale == np.float32(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'a\tb\n\\\'\"'", "a\tb\n\\'\""),
        (r'"\x41\102\u00e9\U0001F600"', "ABé😀"),
        (r"'\303\251'", "é"),
        ('"one" \'two\'\n"three"', "onetwothree"),
        ('""', ""),
        ('"# { no comment"', "# { no comment"),
    ],
)
def test_strings(text, value):
    assert layer_of(f"name: {text}").name == value


def test_same_as_protobufs_own_parser():
    plain = SYNTAX.replace("layer [", "layer: [")
    expected = text_format.Parse(plain, caffe_pb2.NetParameter())
    assert parse_prototxt(SYNTAX).message == expected


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('name: "x"\nlayer {', "2:8", ["expected `}`", "line 2", "end of the file"]),
        ("layer { name: conv1 }", "1:15", ["string in quotes", "`conv1`"]),
        ('layer { name: "a\nb" }', "1:15", ["string has no end"]),
        ("layer { name 'x' }", "1:14", ["`:` after `name`"]),
        ("layer { convolution_param { num_output: 2.5 } }", "1:41", ["whole number", "`2.5`"]),
        ("layer { convolution_param { num_output: -1 } }", "1:42", ["out of range", "uint32"]),
        ("input_dim: 2147483648", "1:12", ["out of range", "int32"]),
        ("layer { power_param { scale: abc } }", "1:30", ["a number for `scale`"]),
        ("layer { power_param { scale: 0x10 } }", "1:30", ["a number"]),
        ("layer { phase: TESTING }", "1:16", ["TRAIN, TEST", "did you mean `TEST`"]),
        ("layer { phase: 7 }", "1:16", ["TRAIN, TEST"]),
        ("force_backward: yes", "1:17", ["`true` or `false`"]),
        ('name: "a" name: "b"', "1:11", ["only once"]),
        ("layer { lrn_param { } lrn_param { } }", "1:23", ["only once"]),
        ("layer { } }", "1:11", ["a field of NetParameter", "`}`"]),
        ("layer { ] }", "1:9", ["a field of LayerParameter"]),
        ("layer { name: 'x' ,, }", "1:20", ["a field of LayerParameter", "`,`"]),
        ("layer { propagate_down: [true false] }", "1:31", ["`,` or `]`"]),
        ("layer { clip_param { min: 0 } }", "1:20", ["ClipParameter needs the field `max`"]),
        ("layer { name { } }", "1:14", ["`:` after `name`", "no message"]),
        ("layer: 5", "1:8", ["`{` after `layer`"]),
        ("layer { foo }", "1:13", ["`:` or `{` after `foo`"]),
        ("layer { foo: }", "1:14", ["a value"]),
        ("layer { foo { bar: 1 }", "1:23", ["end of the file"]),
        ("input_dim: 08", "1:12", ["whole number"]),
        ("input_dim: 1x", "1:12", ["runs into"]),
        ("# " + 600 * "x" + "\n\n name: 'a\0b'", "3:10", ["NUL"]),
        ("name: '\\q'", "1:7", ["unknown escape"]),
        ("name: '\\777'", "1:7", ["above 255"]),
        ("name: '\\xff'", "1:7", ["not UTF-8"]),
        ("name: '\\ud800'", "1:7", ["no character U+D800"]),
        ("% x", "1:1", ["'%'"]),
        ("version https://git-lfs.github.com/spec/v1\noid", "1:1", ["Git LFS"]),
        ('\n\nname: "a" $', "3:11", ["'$'"]),
    ],
)
def test_errors_name_the_place(text, place, words):
    with pytest.raises(PrototxtError) as caught:
        parse_prototxt(text, "net.prototxt")
    assert caught.value.where == f"net.prototxt:{place}"
    for word in words:
        assert word in str(caught.value)


def test_unknown_v1_type_is_unsupported():
    with pytest.raises(UnsupportedError, match="V1 layer type CONVOLUTON") as caught:
        parse_prototxt("layers { name: 'x'\n type: CONVOLUTON }", "a")
    assert caught.value.where == "a:2:8"
    assert "CONVOLUTION" in str(caught.value)


def test_binary_input_is_refused():
    with pytest.raises(PrototxtError, match="binary"):
        parse_prototxt(b"\x0a\x03abc\x00\x01")


def test_encodings():
    assert parse_prototxt(b"\xef\xbb\xbfname: 'a'").message.name == "a"
    assert parse_prototxt(b"# caf\xe9\nname: 'a'").message.name == "a"
    with pytest.raises(PrototxtError, match="UTF-8"):
        parse_prototxt(b"name: 'caf\xe9'")
    with pytest.raises(PrototxtError, match="UTF-8"):
        parse_prototxt(b"layer { x: 'caf\xe9' }")


def test_limits(monkeypatch):
    depth = module.MAX_NESTING
    parse_prototxt("x {" * depth + "}" * depth)
    with pytest.raises(PrototxtError, match="nested deeper"):
        parse_prototxt("x {" * (depth + 1) + "}" * (depth + 1))
    with pytest.raises(PrototxtError, match="nested deeper"):
        parse_prototxt("x: [" + "[" * 50_000)
    monkeypatch.setattr(module, "MAX_MESSAGES", 10)
    for text in ("layer { }", "x: 1 ", "x { } "):
        parse_prototxt(text * 10)
        with pytest.raises(LimitError, match="more than 10 messages"):
            parse_prototxt(text * 11)
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(LimitError):
        parse_prototxt("name: 'abcdef'")


UNKNOWN = """
name: "fork" my_net_field: 3
state { phase: TEST odd: "x" }
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer {
  name: "warp" type: "MyWarp" bottom: "data" top: "warp"
  my_warp_param { scale: -1.5 # why not
    inner: < a: [1, 2, { b: 'c' }] > }
  my_flag: true
  param { lr_mult: 1 }
  param { lr_mult: 2 my_decay: 1e-4 }
}
layer { name: "other" type: "Odd" bottom: "warp" top: "o"
  convolution_param { num_output: 3 my_conv_field: 7 my_conv_field: 8
    weight_filler { type: "xavier" my_filler: MYENUM } }
  [com.fork.extension] { x: 1 } }
layer { name: "empty" type: "Odd" relu_param { mine: 1 } }
"""


def test_unknown_fields_are_kept_with_their_place():
    parsed = parse_prototxt(UNKNOWN)
    assert [entry_of(item) for item in parsed.unknown] == [
        ("", "my_net_field: 3"),
        ("state", 'odd: "x"'),
    ]
    assert [entry_of(item) for item in parsed.layer_unknown[1]] == [
        ("", "my_warp_param { scale: -1.5 # why not\n    inner: < a: [1, 2, { b: 'c' }] > }"),
        ("", "my_flag: true"),
        ("param[1]", "my_decay: 1e-4"),
    ]
    assert [entry_of(item) for item in parsed.layer_unknown[2]] == [
        ("convolution_param", "my_conv_field: 7"),
        ("convolution_param", "my_conv_field: 8"),
        ("convolution_param.weight_filler", "my_filler: MYENUM"),
        ("", "[com.fork.extension] { x: 1 }"),
    ]
    first = parsed.unknown[0]
    assert (first.line, first.column) == (2, 14)


def test_fork_survives_the_round_trip():
    net = net_of(UNKNOWN)
    text = print_prototxt(net)
    again = net_of(text)
    assert tree(again) == tree(net)
    assert print_prototxt(again) == text
    assert sum(len(layer.unknown) for layer in net.layers) == 8


def test_unknown_fields_of_old_layers_move_along():
    net = net_of(
        "layers { name: 'a' type: POOLING odd: 1 pooling_param { kernel_size: 2 mine: 2 } }"
        "layers { name: 'b' type: RELU }"
    )
    assert [entry_of(item) for item in net.layers[0].unknown] == [
        ("", "odd: 1"),
        ("pooling_param", "mine: 2"),
    ]
    assert net.layers[1].unknown == ()
    old = net_of("layers { layer { name: 'a' type: 'relu' odd: 1 } bottom: 'x' top: 'x' }")
    assert entry_of(old.layers[0].unknown[0]) == ("", "odd: 1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1.0, "1"),
        (1e-5, "1e-05"),
        (16777216.0, "1.6777216e+07"),
        (3.4e38, "3.4e+38"),
        (1 / 3, "0.33333334"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
        (-0.0, "-0"),
    ],
)
def test_floats_print_in_their_shortest_form(value, text):
    param = caffe_pb2.LayerParameter(name="p")
    param.power_param.scale = value
    net = Net(caffe_pb2.NetParameter(), [Layer(param, "p")], Parameters())
    printed = print_prototxt(net)
    assert f"scale: {text}\n" in printed
    again = parse_prototxt(printed).message.layer[0].power_param.scale
    assert np.float32(again).tobytes() == np.float32(value).tobytes() or value != value


def test_empty_net_prints_as_nothing():
    net = Net(caffe_pb2.NetParameter(), [], Parameters())
    assert print_prototxt(net) == ""
    assert net_of("").layers == []
