"""LMDB as Caffe writes it."""

import struct

import lmdb
import numpy as np
import pytest
from tests.unit.data.making import encoded_datum, raw_datum, write_lmdb

from cmodel.data import batches, open_source, prepare
from cmodel.data.lmdb_pages import MAGIC, read_entries
from cmodel.errors import CmodelError, DataError, LimitError, UnsupportedError
from cmodel.net import InputTransform
from cmodel.proto import caffe_pb2

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 6, 5, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)


def all_of(source, transform=InputTransform(), shape=None):  # noqa: B008
    indices = np.arange(len(source))
    return np.concatenate([x for x, _ in batches(source, indices, transform, shape, 3)])


def caffes_transform(planes, mean=0.0, scale=1.0, crop=None):
    """What DataTransformer does at TEST, for planes (N,C,H,W) as stored."""
    x = planes.astype(np.float32) - np.float32(mean)
    if crop:
        top, left = (x.shape[2] - crop) // 2, (x.shape[3] - crop) // 2
        x = x[:, :, top : top + crop, left : left + crop]
    return x * np.float32(scale)


@pytest.fixture
def raw(tmp_path):
    return write_lmdb(tmp_path / "raw", [raw_datum(x, i) for i, x in enumerate(COLOUR)])


def test_raw_planes_are_fed_in_their_order(raw):
    source = open_source(raw)
    assert source.labels.tolist() == list(range(7))
    assert source.names[3] == "00000003_image3.png"
    assert source.planes
    stored = np.moveaxis(COLOUR, 3, 1)[:, ::-1]
    np.testing.assert_array_equal(all_of(source), stored.astype(np.float32))
    # Whatever the model says of images: planes are stored as they are fed.
    for order in ("rgb", "bgr", "gray"):
        fed = all_of(source, InputTransform(channel_order=order), (1, 3, 6, 5))
        np.testing.assert_array_equal(fed, stored.astype(np.float32))


def test_caffes_transform_of_raw_planes(raw):
    stored = np.moveaxis(COLOUR, 3, 1)[:, ::-1]
    transform = InputTransform(crop=(4, 4), mean_values=(104, 117, 123), scale=(0.017,))
    expected = caffes_transform(stored, [[[104]], [[117]], [[123]]], 0.017, 4)
    np.testing.assert_array_equal(all_of(open_source(raw), transform), expected)
    mean = RNG.random((3, 6, 5), np.float32)
    transform = InputTransform(crop=(4, 4), mean_image=mean)
    np.testing.assert_array_equal(
        all_of(open_source(raw), transform), caffes_transform(stored, mean, 1, 4)
    )


def test_the_file_itself_or_its_folder(raw):
    # LMDB can be told to make a file and no folder; the content tells.
    np.testing.assert_array_equal(all_of(open_source(raw / "data.mdb")), all_of(open_source(raw)))


def test_encoded_images_are_those_of_image_files(tmp_path):
    datums = [encoded_datum(x, 9 - i) for i, x in enumerate(COLOUR)]
    source = open_source(write_lmdb(tmp_path / "x", datums))
    assert not source.planes
    assert source.labels.tolist() == [9, 8, 7, 6, 5, 4, 3]
    expected = np.moveaxis(COLOUR, 3, 1).astype(np.float32)
    np.testing.assert_array_equal(all_of(source), expected[:, ::-1])
    np.testing.assert_array_equal(all_of(source, InputTransform(channel_order="rgb")), expected)
    grays = all_of(source, InputTransform(channel_order="gray"))
    assert grays.shape == (7, 1, 6, 5)


def test_raw_and_encoded_in_one_database(tmp_path):
    stored = np.moveaxis(COLOUR, 3, 1)[:, ::-1].astype(np.float32)
    for first, second in ((raw_datum, encoded_datum), (encoded_datum, raw_datum)):
        datums = [(first, second)[i % 2](x, i) for i, x in enumerate(COLOUR)]
        source = open_source(write_lmdb(tmp_path / first.__name__, datums))
        np.testing.assert_array_equal(all_of(source), stored)


def test_gray_and_other_numbers_of_channels(tmp_path):
    source = open_source(write_lmdb(tmp_path / "gray", [raw_datum(x, 0) for x in GRAY]))
    np.testing.assert_array_equal(all_of(source)[:, 0], GRAY.astype(np.float32))
    pair = caffe_pb2.Datum(channels=2, height=2, width=3, data=bytes(range(12)), label=1)
    source = open_source(write_lmdb(tmp_path / "pair", [pair]))
    transform = InputTransform(scale=(2,))
    assert all_of(source, transform).ravel().tolist() == list(range(0, 24, 2))
    with pytest.raises(DataError, match="2 channels"):
        all_of(source, shape=(1, 3, 2, 3))


def test_floats_are_transformed_too(tmp_path):
    floats = RNG.normal(size=(3, 2, 4, 4)).astype(np.float32)
    datums = [
        caffe_pb2.Datum(channels=2, height=4, width=4, float_data=x.ravel(), label=i)
        for i, x in enumerate(floats)
    ]
    source = open_source(write_lmdb(tmp_path / "x", datums))
    transform = InputTransform(crop=(2, 2), mean_values=(0.5,), scale=(3,))
    np.testing.assert_array_equal(all_of(source, transform), caffes_transform(floats, 0.5, 3, 2))
    assert source.labels.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="cannot be resized"):
        prepare(source.read([0]), InputTransform(resize=(8, 8)), planes=True)


@pytest.mark.parametrize("size", [10, 1500, 5000])
def test_many_entries_in_several_transactions(tmp_path, size):
    """Values inside the leaves and in overflow pages; several levels of branches."""
    values = [RNG.bytes(int(n)) for n in RNG.integers(0, size, 3000)]
    path = write_lmdb(tmp_path / "x", values, commit=700)
    data = (path / "data.mdb").read_bytes()
    entries = read_entries(data, "x")
    assert [data[s : s + n] for s, n in zip(entries.starts, entries.sizes, strict=True)] == values
    assert entries.keys == sorted(entries.keys)


def test_labels_without_reading_the_pixels(tmp_path):
    """Fields in another order, absent labels, negative ones: as protobuf reads them."""
    datums = [raw_datum(COLOUR[0], n) for n in (-5, 0, 1 << 30)]
    message = raw_datum(COLOUR[0], 6)
    swapped = caffe_pb2.Datum(label=6).SerializeToString()
    message.ClearField("label")
    bare = message.SerializeToString()
    source = open_source(write_lmdb(tmp_path / "x", [*datums, swapped + bare, bare]))
    assert source.labels.tolist() == [-5, 0, 1 << 30, 6, 0]


def one_leaf(count, nodes, upper, key_size):
    """Return a database of one leaf, each of whose nodes is the one at `upper`."""
    meta = bytearray(4096)
    struct.pack_into("<QHHHH4sI", meta, 0, 0, 0, 8, 0, 0, MAGIC, 1)
    struct.pack_into("<I", meta, 40, 4096)
    struct.pack_into("<IHHQQQQQ", meta, 88, 0, 0, 1, 0, 1, 0, count, 2)
    leaf = bytearray(b"k" * 4096)
    lower = 16 + 2 * nodes
    struct.pack_into(f"<QHHHH{nodes}H", leaf, 0, 2, 0, 2, lower, upper, *[upper] * nodes)
    if upper > lower and upper + 8 <= 4096:
        struct.pack_into("<HHHH", leaf, upper, 0, 0, 0, key_size)
    return bytes(meta) * 2 + bytes(leaf)


class TestDamage:
    def test_empty(self, tmp_path):
        with pytest.raises(DataError, match="no entries"):
            open_source(write_lmdb(tmp_path / "x", []))
        (tmp_path / "y").mkdir()
        (tmp_path / "y" / "data.mdb").write_bytes(b"")
        with pytest.raises(DataError, match="empty"):
            open_source(tmp_path / "y")

    def test_cut_anywhere(self, raw, tmp_path):
        data = (raw / "data.mdb").read_bytes()
        (tmp_path / "cut").mkdir()
        path = tmp_path / "cut" / "data.mdb"
        for percent in range(100):
            path.write_bytes(data[: len(data) * percent // 100])
            with pytest.raises(DataError):
                open_source(path.parent)

    def test_bit_flips_never_do_worse_than_an_error(self, tmp_path):
        values = [RNG.bytes(int(n)) for n in RNG.integers(0, 4000, 60)]
        data = (write_lmdb(tmp_path / "x", values) / "data.mdb").read_bytes()
        named = 0
        for _ in range(600):
            damaged = bytearray(data)
            page = int(RNG.integers(len(data) // 4096))
            damaged[4096 * page + int(RNG.integers(200))] ^= 1 << int(RNG.integers(8))
            try:
                read_entries(bytes(damaged), "x")
            except CmodelError:
                named += 1
        assert named > 10

    def test_a_page_in_the_tree_twice(self, tmp_path):
        values = [bytes(100)] * 100
        data = bytearray((write_lmdb(tmp_path / "x", values) / "data.mdb").read_bytes())
        roots = [int.from_bytes(data[at + 128 : at + 136], "little") for at in (0, 4096)]
        root = max(roots) * 4096 if max(roots) < 1 << 60 else min(roots) * 4096
        assert data[root + 10] & 1  # a branch
        node = root + int.from_bytes(data[root + 16 : root + 18], "little")
        data[node : node + 4] = (root // 4096).to_bytes(4, "little")
        with pytest.raises(DataError, match="twice"):
            read_entries(bytes(data), "x")

    @pytest.mark.parametrize(
        ("count", "nodes", "upper", "key_size", "match"),
        [
            (1, 1, 4000, 20, None),
            (9, 9, 3000, 512, "a key has 512 bytes"),
            (9, 9, 3000, 200, "lie over each other"),
            (1, 2, 3000, 20, "states 1 entries and holds more"),
            (2, 1, 3000, 20, "states 2 entries and holds 1"),
            (1, 1, 17, 20, "header is impossible"),
            (1, 1, 4097, 20, "header is impossible"),
            (1, 1, 4090, 20, "outside its part"),
            (1 << 27, 1, 3000, 20, "more than"),
        ],
    )
    def test_what_a_page_may_hold(self, count, nodes, upper, key_size, match):
        """All nodes of the one leaf are the same one, at `upper`."""
        data = one_leaf(count, nodes, upper, key_size)
        if match is None:
            assert read_entries(data, "x").keys == ["k" * key_size]
            return
        error = LimitError if match == "more than" else DataError
        with pytest.raises(error, match=match):
            read_entries(data, "x")

    def test_nodes_before_the_part_for_nodes(self):
        data = bytearray(one_leaf(1, 1, 3000, 20))
        data[8192 + 14 : 8192 + 16] = (3002).to_bytes(2, "little")
        with pytest.raises(DataError, match="outside its part"):
            read_entries(bytes(data), "x")

    def test_no_datums(self, tmp_path):
        with pytest.raises(DataError, match=r"no Datum(.|\n)*entry 00000000_image0"):
            open_source(write_lmdb(tmp_path / "x", [b"\xff" * 40]))
        wrong = raw_datum(COLOUR[0], 0)
        wrong.width = 99
        source = open_source(write_lmdb(tmp_path / "y", [wrong]))
        with pytest.raises(DataError, match="states 3 x 6 x 99 values and holds 90"):
            source.read([0])
        broken = caffe_pb2.Datum(encoded=True, data=b"\x89PNG\r\n\x1a\nxxxx")
        source = open_source(write_lmdb(tmp_path / "z", [broken]))
        with pytest.raises(DataError, match="entry 00000000"):
            source.read([0])

    def test_other_databases(self, tmp_path):
        environment = lmdb.open(str(tmp_path / "x"), max_dbs=2)
        environment.open_db(b"named")
        environment.close()
        with pytest.raises(UnsupportedError, match="does not write"):
            open_source(tmp_path / "x")
        (tmp_path / "y").mkdir()
        (tmp_path / "y" / "CURRENT").write_text("MANIFEST-000001\n")
        with pytest.raises(UnsupportedError, match=r"LevelDB(.|\n)*convert_imageset"):
            open_source(tmp_path / "y")

    def test_too_large_an_entry(self, tmp_path, monkeypatch):
        monkeypatch.setattr("cmodel.data.lmdb.MAX_IMAGE_BYTES", 50)
        with pytest.raises(LimitError, match="50 is the limit"):
            open_source(write_lmdb(tmp_path / "x", [raw_datum(COLOUR[0], 0)]))
