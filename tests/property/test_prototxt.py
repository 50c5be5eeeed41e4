"""Whatever a net holds, printing and parsing give the same; whatever a text holds, no crash."""

import numpy as np
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from cmodel.caffe import parse_prototxt, print_prototxt
from cmodel.errors import CmodelError
from cmodel.net import Layer, Net, Parameters, UnknownField
from cmodel.proto import caffe_pb2

RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
}


def scalar(data, field):
    kind = field.cpp_type
    if kind in RANGES:
        return data.draw(st.integers(*RANGES[kind]))
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return data.draw(st.sampled_from([value.number for value in field.enum_type.values]))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return data.draw(st.booleans())
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return data.draw(st.text(max_size=8))
    return data.draw(st.floats(width=32, allow_nan=False))


def fill(data, message, depth=0):
    """Set some fields of a message to anything."""
    fields = [f for f in message.DESCRIPTOR.fields if f.name not in ("blobs", "layer", "layers")]
    required = [f for f in fields if f.is_required]
    chosen = data.draw(st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda f: f.name))
    for field in {f.name: f for f in [*required, *chosen]}.values():
        for _ in range(data.draw(st.integers(1, 3)) if field.is_repeated else 1):
            if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                inner = getattr(message, field.name)
                inner = inner.add() if field.is_repeated else inner
                inner.SetInParent()
                fill(data, inner, depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).append(scalar(data, field))
            else:
                setattr(message, field.name, scalar(data, field))
    return message


@settings(max_examples=150)
@given(st.data())
def test_print_then_parse_gives_the_same(data):
    header = fill(data, caffe_pb2.NetParameter())
    params = [fill(data, caffe_pb2.LayerParameter()) for _ in range(data.draw(st.integers(0, 3)))]
    layers = [Layer(param, str(i)) for i, param in enumerate(params)]
    text = print_prototxt(Net(header, layers, Parameters()))
    expected = caffe_pb2.NetParameter()
    expected.CopyFrom(header)
    expected.layer.extend(params)
    parsed = parse_prototxt(text)
    assert not parsed.unknown
    assert not parsed.layer_unknown
    assert parsed.message == expected
    assert text_format.Parse(text, caffe_pb2.NetParameter()) == expected
    # protobuf's own output is read alike.
    assert parse_prototxt(text_format.MessageToString(expected)).message == expected


NAMES = st.from_regex(r"zz_[a-z0-9_]{0,6}", fullmatch=True)
VALUES = st.recursive(
    st.one_of(
        st.integers().map(str),
        st.floats(allow_nan=False, width=32).map(lambda x: str(np.float32(x))),
        st.sampled_from(["true", "ENUM", "'it''s'", '"a#b"', "0x1F", "1.5f", "- 3"]),
    ).map(": {}".format),
    lambda inner: st.lists(st.tuples(NAMES, inner), max_size=3).map(
        lambda fields: " { " + "".join(f"{name}{value} # c\n" for name, value in fields) + "}"
    ),
    max_leaves=6,
)
UNKNOWN = st.tuples(NAMES, VALUES).map("".join)


@settings(max_examples=100)
@given(st.lists(UNKNOWN, max_size=3), st.lists(UNKNOWN, max_size=3))
def test_unknown_fields_come_back(in_layer, in_param):
    param = caffe_pb2.LayerParameter(name="x")
    param.convolution_param.weight_filler.type = "xavier"
    unknown = [UnknownField("", text) for text in in_layer]
    unknown += [UnknownField("convolution_param.weight_filler", text) for text in in_param]
    net = Net(caffe_pb2.NetParameter(), [Layer(param, "x", unknown=tuple(unknown))], Parameters())
    text = print_prototxt(net)
    parsed = parse_prototxt(text)
    assert parsed.message.layer[0] == param
    found = parsed.layer_unknown.get(0, [])
    assert {(u.path, u.text) for u in found} == {(u.path, u.text) for u in unknown}
    assert len(found) == len(unknown)


def assert_parses_or_refuses(text):
    try:
        parse_prototxt(text)
    except CmodelError as error:
        place = error.where
    else:
        return
    assert place.startswith("<prototxt>:")


SEEDS = [
    'name: "a" input: "x" input_dim: [1, 2] layer { name: "c" type: "Convolution"\n'
    "convolution_param { num_output: 4 odd { x: -1.5 } weight_filler < std: 1e-2 > } }",
    'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "y" } # end',
]


@settings(max_examples=300)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.integers(0, 5),
            st.text("{}<>[]:;,.#'\"\\ \n-0x1efab", max_size=4),
        ),
        max_size=4,
    ),
)
def test_damaged_text_gives_errors_only(seed, edits):
    for at, size, text in edits:
        seed = seed[:at] + text + seed[at + size :]
    assert_parses_or_refuses(seed)


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_give_errors_only(data):
    assert_parses_or_refuses(data)
