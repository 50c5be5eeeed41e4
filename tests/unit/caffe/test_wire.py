"""The walker over caffemodels: all layouts, and damage of every kind."""

import struct

import numpy as np
import pytest

from cmodel.caffe import read_blob, read_caffemodel, wire
from cmodel.errors import CaffemodelError, CmodelError, InputError, LimitError, UnsupportedError
from cmodel.proto import caffe_pb2

VALUES = np.array([1.5, -2.0, np.float32(1e-40), 3e38, 0.1, -0.0], np.float32)


def varint(value):
    return wire.encode_varint(value)


def chunk(number, data):
    """Frame bytes as a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def v2_file(*blobs, name=b"fc", extra=b""):
    return chunk(100, chunk(1, name) + b"".join(chunk(7, blob) for blob in blobs) + extra)


def shape(*dims):
    return chunk(7, chunk(1, b"".join(map(varint, dims))))


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "net.caffemodel"
        path.write_bytes(data)
        return path

    return write


PACKED = chunk(5, VALUES.tobytes())
UNPACKED = b"".join(b"\x2d" + struct.pack("<f", value) for value in VALUES)


@pytest.mark.parametrize(
    "data",
    [
        PACKED,
        UNPACKED,
        chunk(5, VALUES[:2].tobytes()) + chunk(5, b"") + chunk(5, VALUES[2:].tobytes()),
        chunk(5, VALUES[:2].tobytes()) + UNPACKED[10:20] + chunk(5, VALUES[4:].tobytes()),
        # A tag may be written longer than need be.
        b"\xad\x00" + UNPACKED[1:5] + UNPACKED[5:],
    ],
    ids=["packed", "unpacked", "split", "mixed", "long-tag"],
)
@pytest.mark.parametrize("shape_first", [True, False])
def test_floats_in_every_encoding(write, data, shape_first):
    parts = [shape(2, 3), data] if shape_first else [data, shape(2, 3)]
    blob = read_caffemodel(write(v2_file(b"".join(parts)))).layers[0].blobs[0]
    assert (blob.shape, blob.legacy, blob.size) == ((2, 3), False, 6)
    assert blob.values().tobytes() == VALUES.tobytes()


def test_packed_floats_are_views_on_the_file(write):
    blob = read_caffemodel(write(v2_file(PACKED + shape(6)))).layers[0].blobs[0]
    values = blob.values()
    assert not values.flags.owndata
    assert not values.flags.writeable
    assert np.shares_memory(values, blob.values())


@pytest.mark.parametrize("packed", [True, False])
def test_doubles_stand_for_floats(write, packed):
    doubles = VALUES.astype(np.float64) * 3
    data = (
        chunk(8, doubles.tobytes())
        if packed
        else b"".join(b"\x41" + struct.pack("<d", value) for value in doubles)
    )
    blob = read_caffemodel(write(v2_file(PACKED + data + shape(6)))).layers[0].blobs[0]
    with np.errstate(over="ignore"):
        expected = doubles.astype(np.float32)
    assert blob.values().tobytes() == expected.tobytes()


def test_long_runs_of_unpacked_floats(write):
    values = np.arange(300_000, dtype=np.float32)
    rows = np.empty((values.size, 5), np.uint8)
    rows[:, 0] = 0x2D
    rows[:, 1:] = values.view(np.uint8).reshape(-1, 4)
    blob = read_caffemodel(write(v2_file(rows.tobytes() + shape(300_000)))).layers[0].blobs[0]
    assert len(blob.floats) == 1
    np.testing.assert_array_equal(blob.values(), values)


def test_diffs_and_unknown_fields_are_skipped(write):
    group = b"\xfb\x01" + b"\x08\x05" + b"\xf3\x01\xf4\x01" + b"\xfc\x01"
    unknown = chunk(77, b"abc") + b"\xe8\x04\x05" + group
    data = chunk(6, VALUES.tobytes()) + b"\x35abcd" * 3 + chunk(9, b"12345678") + b"\x4912345678"
    blob = data + unknown + PACKED + shape(6)
    model = read_caffemodel(write(chunk(55, b"x") + v2_file(blob, extra=unknown)))
    record = model.layers[0]
    assert record.blobs[0].values().tobytes() == VALUES.tobytes()
    # The layer's own unknown fields are kept.
    assert record.message == chunk(1, b"fc") + unknown
    assert model.header == chunk(55, b"x")


def test_legacy_shapes_win(write):
    legacy = b"\x08\x01\x10\x01\x18\x02\x20\x03"
    blob = read_caffemodel(write(v2_file(PACKED + shape(6) + legacy))).layers[0].blobs[0]
    assert (blob.shape, blob.legacy) == ((1, 1, 2, 3), True)
    partial = read_caffemodel(write(v2_file(PACKED + b"\x20\x06"))).layers[0].blobs[0]
    assert (partial.shape, partial.legacy) == ((0, 0, 0, 6), True)


def test_scalars_and_unpacked_dims(write):
    blob = read_caffemodel(write(v2_file(UNPACKED[:5] + chunk(7, b"")))).layers[0].blobs[0]
    assert (blob.shape, blob.size) == ((), 1)
    dims = chunk(7, b"\x08\x02\x08\x03")
    assert read_caffemodel(write(v2_file(PACKED + dims))).layers[0].blobs[0].shape == (2, 3)


def test_three_generations_in_one_file(write):
    blob = PACKED + shape(6)
    v0 = chunk(2, chunk(1, chunk(1, b"old") + chunk(2, b"conv") + chunk(50, blob)) + chunk(3, b"t"))
    v1 = chunk(2, chunk(4, b"middle") + b"\x28\x04" + chunk(6, blob) + chunk(6, blob))
    model = read_caffemodel(write(v2_file(blob) + v0 + chunk(1, b"net") + v1))
    assert [(r.name, r.version, len(r.blobs)) for r in model.layers] == [
        ("fc", 2, 1),
        ("old", 0, 1),
        ("middle", 1, 2),
    ]
    net = model.net()
    assert net.name == "net"
    assert net.layers[0].layer.type == "conv"
    assert net.layers[0].top == ["t"]
    assert net.layers[1].type == caffe_pb2.V1LayerParameter.CONVOLUTION
    assert net.layer[0].name == "fc"
    assert not net.layer[0].blobs


def test_protobuf_agrees(write):
    message = caffe_pb2.NetParameter(name="n")
    layer = message.layer.add(name="fc", type="InnerProduct", top=["a", "b"])
    layer.inner_product_param.num_output = 3
    for dims in ((2, 3), (3,)):
        blob = layer.blobs.add()
        blob.shape.dim.extend(dims)
        blob.data.extend(range(int(np.prod(dims))))
    model = read_caffemodel(write(message.SerializeToString()))
    assert [blob.values().tolist() for blob in model.layers[0].blobs] == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2],
    ]
    layer.ClearField("blobs")
    assert model.net() == message


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["empty", "byte 0"]),
        (LFS, ["Git LFS pointer", "byte 0", "git lfs pull"]),
        (b'name: "LeNet"\nlayer {\n}\n', ["text", "prototxt", "byte 0"]),
        (b"PK\x03\x04aaaaaaaaaaa", ["zip archive", "byte 0"]),
        (b"\x89PNG\r\n\x1a\n", ["PNG"]),
        (b"\xa2\x06\x05abc", ["field 100 says that 5 bytes follow, 3 are left", "byte 0"]),
        (chunk(100, b"\x0a\x09abc"), ["field 1 says that 9 bytes", "byte 3"]),
        (b"\x08" + b"\xff" * 10 + b"\x01", ["more than 10 bytes", "byte 1"]),
        (b"\x08", ["end inside a number", "byte 1"]),
        (b"\x0f\x00", ["field 1", "wire type 7", "byte 0"]),
        (b"\x00\x00", ["no field number 0", "byte 0"]),
        (b"\x0c\x00", ["wire type 4"]),
        (b"\x0d\x00\x00", ["end inside a number"]),
        (b"\x0b\x08\x01", ["group of field 1 has no end"]),
        (b"\x0b\x14", ["field 2 ends the group of field 1"]),
        (b"\x0b" * 5000, ["nested deeper"]),
        (v2_file(chunk(5, b"12345")), ["no whole number of 4-byte values"]),
        (v2_file(shape(*[1] * 33)), ["more than 32 axes"]),
        # What follows the axes that are too many is not looked at.
        (v2_file(chunk(7, chunk(1, b"\1" * 33 + b"\x80"))), ["more than 32 axes"]),
        (v2_file(chunk(7, chunk(1, b"\xff" * 9 + b"\x01"))), ["impossible shape (-1,)"]),
        (v2_file(PACKED, name=b"\xff\xfe"), ["name is not UTF-8"]),
        (chunk(1, b"lonely\x00") + b"\x28\x01", ["no layers"]),
    ],
)
def test_damage_gives_one_clear_error(write, data, words):
    path = write(data)
    with pytest.raises(CaffemodelError) as caught:
        read_caffemodel(path)
    assert caught.value.hint
    assert caught.value.where.startswith(str(path))
    for word in words:
        assert word in str(caught.value)


def test_other_refusals(write, tmp_path):
    with pytest.raises(UnsupportedError, match="HDF5"):
        read_caffemodel(write(b"\x89HDF\r\n\x1a\n" + bytes(100)))
    with pytest.raises(InputError, match="No such file"):
        read_caffemodel(tmp_path / "none.caffemodel")
    with pytest.raises(InputError, match="cannot read"):
        read_caffemodel(tmp_path)


def test_limits(write, monkeypatch):
    monkeypatch.setattr(wire, "MAX_FIELDS", 100)
    with pytest.raises(LimitError, match="more than 100 fields"):
        read_caffemodel(write(b"\xa2\x06\x00" * 101))
    monkeypatch.setattr(wire, "MAX_MESSAGE", 1 << 20)
    with pytest.raises(LimitError, match="1 MiB besides"):
        read_caffemodel(write(v2_file(PACKED, extra=chunk(9999, bytes(1 << 20)))))


def test_a_message_that_protobuf_refuses(write):
    model = read_caffemodel(write(chunk(100, chunk(1, b"x") + chunk(106, b"\xff"))))
    with pytest.raises(CaffemodelError, match="does not parse"):
        model.net()


def test_cut_at_every_byte(write):
    """Any cut is an error but for those between whole layers."""
    whole = chunk(1, b"net") + v2_file(PACKED + shape(6)) + v2_file(UNPACKED + shape(6))
    complete = {len(chunk(1, b"net") + v2_file(PACKED + shape(6)))}
    for size in range(len(whole)):
        path = write(whole[:size])
        if size in complete:
            assert len(read_caffemodel(path).layers) == 1
            continue
        with pytest.raises(CmodelError):
            read_caffemodel(path)


def test_single_blobs(write):
    blob = read_blob(write(b"\x08\x01\x10\x02\x18\x01\x20\x03" + PACKED))
    assert blob.shape == (1, 2, 1, 3)
    assert blob.values().tobytes() == VALUES.tobytes()


def test_files_over_2_gb(write):
    """protobuf cannot read them; the walker does not mind. The file is a hole, but for its ends."""
    count = 600_000_000
    blob = varint(5 << 3 | 2) + varint(4 * count)
    head = chunk(1, b"big")
    size = len(blob) + 4 * count + len(shape(count))
    layer = head + varint(7 << 3 | 2) + varint(size) + blob
    rest = len(head) + 1 + len(varint(size)) + size
    path = write(varint(100 << 3 | 2) + varint(rest) + layer)
    with path.open("r+b") as file:
        file.seek(4 * count, 2)
        file.write(shape(count) + v2_file(PACKED + shape(6)))
    assert path.stat().st_size > 1 << 31
    big, small = read_caffemodel(path).layers
    assert big.blobs[0].shape == (count,)
    assert big.blobs[0].values()[-1] == 0
    assert small.blobs[0].values().tobytes() == VALUES.tobytes()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(CaffemodelError, match="byte 24000000"):
        read_caffemodel(path)
