"""Nets that cannot be, and files made to hurt: one clear error each from loading and packing."""

import pytest

from cmodel import load
from cmodel.errors import CmodelError, InputError, LimitError
from cmodel.proto import caffe_pb2

DATA = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
CONV = 'layer {{ name: "c" type: "Convolution" bottom: "d" top: "c" convolution_param {{ {} }} }}'


def relu(name, bottom, top):
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}" }}\n'


def data(*dims):
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ {shape} }} }} }}\n'


NETS = {
    "a cycle": (DATA + relu("a", "y", "x") + relu("b", "x", "y"), "made by no earlier layer"),
    "a layer that reads itself": (DATA + relu("a", "x", "x"), "made by no earlier layer"),
    "a missing bottom": (DATA + relu("a", "dd", "x"), "did you mean `d`"),
    "a bottom that comes later": (
        DATA + relu("a", "x", "y") + relu("b", "d", "x"),
        "made by no earlier layer",
    ),
    "two layers with one top": (
        DATA + relu("a", "d", "x") + relu("b", "d", "x"),
        "made by an earlier layer already",
    ),
    "one top twice": (
        DATA + 'layer { name: "s" type: "Split" bottom: "d" top: "x" top: "x" }',
        "made by an earlier layer already",
    ),
    "two inputs of one name": ('input: "d" input: "d" input_dim: 1 input_dim: 1', "twice"),
    "a negative size": (data(1, -3, 8, 8), "-3"),
    "a size beyond 32 bits": (data(1, 1 << 40), "1099511627776"),
    "a product beyond 64 bits": (data(*[1 << 30] * 4), "1073741824"),
    "an axis too many": (data(*[1] * 33), "33 axes"),
    "a kernel beyond the image": (
        DATA + CONV.format("num_output: 2 kernel_size: 9"),
        "c",
    ),
    "a kernel of nothing": (DATA + CONV.format("num_output: 2 kernel_size: 0"), "kernel"),
    "no outputs": (DATA + CONV.format("num_output: 0 kernel_size: 3"), "num_output"),
    "a stride of nothing": (
        DATA + CONV.format("num_output: 2 kernel_size: 3 stride: 0"),
        "stride",
    ),
    "no groups": (DATA + CONV.format("num_output: 2 kernel_size: 3 group: 0"), "group"),
    "weights beyond any memory": (
        DATA + CONV.format("num_output: 4294967295 kernel_size: 3 pad: 1"),
        "c",
    ),
    "both kinds of rules": (
        DATA + relu("a", "d", "x").replace("}", "include { } exclude { } }"),
        "not both",
    ),
}


@pytest.mark.parametrize("case", NETS)
def test_one_error_names_it(case, run, tmp_path):
    text, words = NETS[case]
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(text)
    with pytest.raises(CmodelError) as caught:
        load(prototxt)
    assert words in str(caught.value)
    result = run("pack", prototxt, "-o", tmp_path / "x.cmodel")
    assert result.status == caught.value.exit_code in (3, 5)
    assert result.err.startswith("error: ")
    assert words in result.err
    assert not (tmp_path / "x.cmodel").exists()


def test_blobs_of_no_values(run, tmp_path):
    """A zero size is legal in Caffe's files, and never fits a layer that has weights."""
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(DATA + CONV.format("num_output: 2 kernel_size: 3"))
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="c", type="Convolution")
    for shape in ((2, 0, 3, 3), (0,)):
        layer.blobs.add(shape=caffe_pb2.BlobShape(dim=shape))
    weights = tmp_path / "net.caffemodel"
    weights.write_bytes(net.SerializeToString())
    result = run("pack", prototxt, weights, "-o", tmp_path / "x.cmodel")
    assert result.status == 3
    assert "(2, 0, 3, 3)" in result.err


@pytest.mark.parametrize("shape", [(-1,), (1 << 40,), (1 << 31,), (1 << 20, 1 << 20, 1 << 24)])
def test_blobs_of_impossible_sizes(shape, run, tmp_path):
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text('input: "x"\nlayer { name: "o" type: "Odd" bottom: "x" top: "y" }')
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="o", type="Odd")
    layer.blobs.add(shape=caffe_pb2.BlobShape(dim=shape), data=[1.0])
    (tmp_path / "w").write_bytes(net.SerializeToString())
    result = run("pack", prototxt, tmp_path / "w", "-o", tmp_path / "x.cmodel")
    assert result.status == 3
    assert str(shape[0]) in result.err


def nested(number, depth, core=b""):
    """Messages of one field inside each other, 10,000 deep and more, from the inside out."""
    for _ in range(depth):
        size, varint = len(core), bytearray()
        while size > 0x7F:
            varint.append(size & 0x7F | 0x80)
            size >>= 7
        core = bytes([*encode_tag(number), *varint, size]) + core
    return core


def encode_tag(number):
    tag = number << 3 | 2
    return (tag,) if tag < 0x80 else (tag & 0x7F | 0x80, tag >> 7)


@pytest.mark.parametrize("number", [1, 2, 7, 8, 100])
def test_a_protobuf_nested_10_000_deep(number, run, tmp_path):
    weights = tmp_path / "deep.caffemodel"
    weights.write_bytes(nested(number, 10_000))
    # Field 100 of a layer is one that nobody knows, and nobody looks into.
    assert run("inspect", weights).status == (0 if number == 100 else 3)
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(DATA + CONV.format("num_output: 2 kernel_size: 3"))
    result = run("pack", prototxt, weights, "-o", tmp_path / "x.cmodel")
    assert result.status == 3
    # Groups open 10,000 times and never close.
    weights.write_bytes(b"\xa2\x06\xd0\x9c\x01" + b"\x53" * 20_048)
    result = run("pack", prototxt, weights, "-o", tmp_path / "x.cmodel")
    assert result.status == 3


@pytest.mark.parametrize("text", ["layer {", "x {", "x: [", "x <", "layer { param {"])
def test_a_prototxt_nested_10_000_deep(text, tmp_path):
    path = tmp_path / "deep.prototxt"
    path.write_text(text * 10_000)
    with pytest.raises(InputError, match=r"nested deeper|expected"):
        load(path)


def test_a_prototxt_of_100_megabytes(run, tmp_path):
    path = tmp_path / "large.prototxt"
    with path.open("wb") as file:
        # A hole: no more of it is read than the limit.
        file.write(b"# a comment\n")
        file.truncate(100_000_000)
    with pytest.raises(LimitError, match="longer than"):
        load(path)
    assert run("pack", path, "-o", tmp_path / "x.cmodel").status == 5


def test_a_prototxt_of_too_many_words(tmp_path, monkeypatch):
    monkeypatch.setattr("cmodel.caffe.scanner.MAX_TOKENS", 1000)
    path = tmp_path / "long.prototxt"
    for text in ("input_dim: 1 ", "input_dim: [" + "1, " * 2000, "odd: [" + "1, " * 2000):
        path.write_text(text * 500)
        with pytest.raises(LimitError, match="more than 1,000 words"):
            load(path)
