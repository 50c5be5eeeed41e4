import numpy as np
import pytest

from cmodel.codecs import huffman, planes
from cmodel.errors import BadStream


def float_words(values, dtype=np.float32):
    array = np.asarray(values, dtype)
    return array.view(f"u{array.itemsize}")


def test_worked_example():
    """1, 2 and 3 rotated are 7F000000, 80000000 and 80800000; their keys are BF800000, C0000000
    and C0400000.
    """
    words = float_words([1, 2, 3])
    # Transform 0. Planes 0 and 1 are zeros (packed, width 0), the others are packed in eight bits.
    data = bytes.fromhex("00 00 00 08 00 00 80 08 7f 80 80")
    assert planes.encode(words) == data
    np.testing.assert_array_equal(planes.decode(data, 3, np.uint32), words)
    # Transform 1, the first key and two distances.
    data = bytes.fromhex("01 00 00 08 80 80 40 08 bf 00 00")
    np.testing.assert_array_equal(planes.decode(data, 3, np.uint32), words)


def test_transforms():
    words = float_words([1.0, -2.0, 0.0, -0.0])
    rotated = planes.decode(bytes([0]) + b"".join(b"\x08" + bytes(4) for _ in range(4)), 4, "u4")
    assert rotated.tolist() == [0, 0, 0, 0]
    back = planes.decode(planes.encode(words), 4, np.uint32)
    np.testing.assert_array_equal(back, words)
    # Rotated by one bit, 1.0 is 7F000000.
    one = planes.decode(bytes.fromhex("00 00 00 00 08 7f"), 1, np.uint32)
    assert one.view(np.float32).tolist() == [1.0]
    # A step of 0 from the key 0 is the word FFFFFFFF.
    assert planes.decode(bytes.fromhex("01 00 00 00 00"), 1, np.uint32).tolist() == [0xFFFFFFFF]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("count", [0, 1, 2, 300, 5000])
@pytest.mark.parametrize("ordered", [False, True])
def test_round_trip(dtype, count, ordered):
    values = np.random.default_rng(count).standard_normal(count).astype(dtype)
    if ordered:
        values.sort()
    words = float_words(values, dtype)
    data = planes.encode(words)
    decoded = planes.decode(data, count, words.dtype)
    assert decoded.dtype == words.dtype
    np.testing.assert_array_equal(decoded, words)
    if count >= 300:
        assert data[0] == ordered
        assert len(data) < words.nbytes


def test_special_values_keep_their_bits():
    words = np.array([0x7FC00001, 0xFF800000, 0x80000000, 0, 0xFFFFFFFF, 0x7F800000], np.uint32)
    np.testing.assert_array_equal(planes.decode(planes.encode(words), 6, np.uint32), words)
    np.testing.assert_array_equal(planes.decode(planes.encode(words[::-1]), 6, "u4"), words[::-1])


def test_ascending_centroids_take_much_less():
    values = np.sort(np.random.default_rng(0).standard_normal(256).astype(np.float32))
    assert len(planes.encode(float_words(values))) < 0.75 * values.nbytes


def test_coders_can_be_left_out():
    words = float_words(np.random.default_rng(0).standard_normal(2000))
    for coders in ((), ("huffman",), ("rans",)):
        data = planes.encode(words, coders=coders)
        np.testing.assert_array_equal(planes.decode(data, 2000, np.uint32), words)
    assert planes.encode(words, coders=("huffman",)) != planes.encode(words, coders=("rans",))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "no such transform"),
        ("02 00 00", "no such transform"),
        ("00", "no such coder"),
        ("00 09 00", "no such coder"),
        ("00 30 00", "no such coder"),
        ("00 18 00", "no such coder"),
        ("00 00 08 01 02", "end too early"),
        ("00 00 10 05 00", "end too early"),
        ("00 00 10 80", "no varint"),
        ("00 00 00 00", "bytes after them"),
        ("00 00 10 01 00", "Huffman"),
        ("00 07 ff 01 00", "padding"),
    ],
)
def test_damage_is_named(data, what):
    with pytest.raises(BadStream, match=what):
        planes.decode(bytes.fromhex(data), 1 if "07" in data else 3, np.uint16)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="uint8"):
        planes.encode(np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="dtype"):
        planes.decode(b"", 0, np.uint8)
    with pytest.raises(ValueError, match="count"):
        planes.decode(b"", -1, np.uint16)


def test_huffman_planes_are_huffman_streams():
    words = np.array([3, 3, 3], np.uint16)
    coded = huffman.encode(np.array([3, 3, 3], np.uint8))
    data = bytes([0, 0x10, len(coded)]) + coded + b"\0"
    # Rotated back by one bit: 3 is 8001.
    assert planes.decode(data, 3, np.uint16).tolist() == [0x8001] * 3
    np.testing.assert_array_equal(planes.decode(planes.encode(words), 3, np.uint16), words)
