import numpy as np
import pytest

from cmodel.codecs import bitpack, reference
from cmodel.errors import BadStream


def test_layout_is_least_significant_bit_first():
    assert bitpack.encode(np.array([1, 2, 3], np.uint8), 3) == bytes([0b11010001, 0])
    assert bitpack.encode(np.array([0xABC, 0x123], np.uint16), 12) == bytes([0xBC, 0x3A, 0x12])


@pytest.mark.parametrize("width", range(33))
def test_agrees_with_reference(width):
    rng = np.random.default_rng(width)
    dtype = np.uint8 if width <= 8 else np.uint16 if width <= 16 else np.uint32
    for count in (0, 1, 7, 8, 9, 100):
        ints = rng.integers(0, 1 << width, count, np.uint64).astype(dtype)
        data = bitpack.encode(ints, width)
        assert data == reference.bitpack_encode(ints, width)
        assert len(data) == bitpack.size_of(count, width)
        decoded = bitpack.decode(data, count, width, dtype)
        assert decoded.dtype == dtype
        np.testing.assert_array_equal(decoded, ints)
        np.testing.assert_array_equal(reference.bitpack_decode(data, count, width), ints)


def test_decodes_into_wider_integers():
    data = bitpack.encode(np.array([5, 200], np.uint8), 8)
    assert bitpack.decode(data, 2, 8, np.uint32).tolist() == [5, 200]


def test_width_of():
    assert bitpack.width_of(np.array([], np.uint8)) == 0
    assert bitpack.width_of(np.array([0, 0], np.uint8)) == 0
    assert bitpack.width_of(np.array([0, 32], np.uint8)) == 6


def test_wrong_arguments():
    with pytest.raises(ValueError, match="4 needs more than 2 bits"):
        bitpack.encode(np.array([1, 4], np.uint8), 2)
    with pytest.raises(ValueError, match="1 needs more than 0 bits"):
        bitpack.encode(np.array([1], np.uint8), 0)
    with pytest.raises(ValueError, match="width is 0 to 32"):
        bitpack.encode(np.array([1], np.uint8), 33)
    with pytest.raises(ValueError, match="int64"):
        bitpack.encode(np.array([1]), 2)
    with pytest.raises(ValueError, match="2-D"):
        bitpack.encode(np.zeros((2, 2), np.uint8), 2)
    with pytest.raises(ValueError, match="0 to 8 bits"):
        bitpack.decode(b"\0\0", 1, 9, np.uint8)
    with pytest.raises(ValueError, match="count"):
        bitpack.decode(b"", -1, 1, np.uint8)


def test_takes_other_layouts():
    every_other = np.arange(10, dtype=np.uint16)[::2]
    big_endian = every_other.astype(">u2")
    assert bitpack.encode(every_other, 5) == bitpack.encode(big_endian, 5)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x00\x00"])
def test_wrong_size(data):
    with pytest.raises(BadStream, match="take 2 bytes"):
        bitpack.decode(data, 3, 5, np.uint8)


def test_padding_is_checked():
    assert bitpack.decode(b"\xff\x7f", 3, 5, np.uint8).tolist() == [31, 31, 31]
    with pytest.raises(BadStream, match=r"padding(.|\n)*byte 1"):
        bitpack.decode(b"\xff\x80", 3, 5, np.uint8)


def test_huge_count_is_refused_before_allocating():
    with pytest.raises(BadStream):
        bitpack.decode(b"abc", 1 << 60, 8, np.uint8)
