import numpy as np
import pytest

from cmodel.codecs import bitpack, huffman, rans, split
from cmodel.errors import BadStream


def spread(count, dtype=np.uint16, seed=0):
    top = np.iinfo(dtype).max
    values = np.random.default_rng(seed).normal(top / 2, top / 20, count)
    return values.clip(0, top).astype(dtype)


def test_worked_example():
    """Low parts of one bit, high parts that are all 2000."""
    ints = np.array([4000, 4001, 4001], np.uint16)
    high = huffman.encode(np.array([2000] * 3, np.uint16))
    data = bytes([1, 0b110]) + high
    assert split.decode(data, 3, np.uint16).tolist() == ints.tolist()
    data = bytes([0x81, 0b110]) + rans.encode(np.array([2000] * 3, np.uint16))
    assert split.decode(data, 3, np.uint16).tolist() == ints.tolist()


@pytest.mark.parametrize("count", [0, 1, 5, 5000, 20_000])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("coders", [("huffman",), ("rans",), ("huffman", "rans")])
def test_round_trip(count, dtype, coders):
    ints = spread(count, dtype)
    data = split.encode(ints, coders=coders)
    for threads in (1, 2):
        decoded = split.decode(data, count, dtype, threads)
        assert decoded.dtype == dtype
        np.testing.assert_array_equal(decoded, ints)


def test_whole_range():
    ints = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(split.decode(split.encode(ints), 65536, np.uint16), ints)


def test_it_is_the_shortest_of_all_low_bits():
    ints = spread(5000)
    data = split.encode(ints)
    sizes = []
    for bits in range(5, 16):
        for codec in (huffman, rans):
            high = codec.encode((ints >> bits).astype(np.uint16))
            sizes.append(1 + bitpack.size_of(ints.size, bits) + len(high))
    assert len(data) <= min(sizes) + 2  # it goes by sizes that are exact to 2 bytes
    assert len(data) < bitpack.size_of(ints.size, 16)


@pytest.mark.parametrize(
    ("data", "count", "what"),
    [
        (b"", 0, "1 to 15 low bits"),
        (b"\x00\x00", 0, "1 to 15 low bits"),
        (b"\x10\x00", 0, "1 to 15 low bits"),
        (b"\x41\x00", 0, "1 to 15 low bits"),
        (b"\x08\x00", 2, "do not fit"),
        (b"\x08\x00\x00", 2, "Huffman"),
        (b"\x88\x00\x00", 2, "rANS"),
        (b"\x01\x02\x01\x01", 1, "padding"),
        (b"\x01\x00\x01\x01\x00", 1, "after its end"),
        (b"\x0f\x00\x00\x03\x0d\x01", 1, "Huffman"),
        (b"\x0f\x00\x00\x03\xc0", 1, "Huffman"),
        (b"\x8f\x00\x00\x03\xc0", 1, "too large"),
    ],
)
def test_damage_is_named(data, count, what):
    with pytest.raises(BadStream, match=what):
        split.decode(data, count, np.uint16)


def test_integers_must_fit():
    data = split.encode(np.array([300, 301], np.uint16))
    with pytest.raises(BadStream, match="too large"):
        split.decode(data, 2, np.uint8)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="high parts"):
        split.encode(np.zeros(3, np.uint16), coders=("packed",))
    with pytest.raises(ValueError, match="uint32"):
        split.encode(np.zeros(3, np.uint32))
    with pytest.raises(ValueError, match="count"):
        split.decode(b"\x01", -1, np.uint16)
