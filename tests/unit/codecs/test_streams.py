import numpy as np
import pytest

from cmodel.codecs import CODERS, bitpack, decode_ints, encode_ints, huffman
from cmodel.errors import BadStream


def test_picks_the_smallest():
    rng = np.random.default_rng(0)
    flat = rng.integers(0, 32, 1000).astype(np.uint8)
    assert encode_ints(flat).coder == "packed"
    skewed = (rng.random(1000) < 0.1).astype(np.uint8) * 9
    assert encode_ints(skewed).coder == "huffman"
    noise = rng.integers(0, 256, 1000).astype(np.uint8)
    assert (encode_ints(noise).coder, encode_ints(noise).width) == ("packed", 8)
    for ints in (flat, skewed, noise):
        sizes = [len(encode_ints(ints, coders=[coder]).data) for coder in CODERS]
        assert len(encode_ints(ints).data) == min(sizes)


def test_ties_go_to_the_plainer_coder():
    assert encode_ints(np.array([], np.uint8)).coder == "packed"
    zeros = encode_ints(np.zeros(50, np.uint8))
    assert (zeros.coder, zeros.width, zeros.data) == ("packed", 0, b"")
    # The order of `coders` does not matter.
    assert encode_ints(np.zeros(50, np.uint8), coders=["huffman", "packed"]).coder == "packed"


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [0, 1, 3, 5000])
def test_round_trip(coder, dtype, count):
    ints = np.random.default_rng(1).integers(0, 200, count).astype(dtype)
    coded = encode_ints(ints, coders=[coder])
    assert coded.coder == coder
    decoded = decode_ints(coded.coder, coded.width, coded.data, count, dtype)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, ints)
    # Any buffer will do, and the result is the caller's own.
    view = memoryview(bytearray(coded.data))
    again = decode_ints(coded.coder, coded.width, view, count, dtype, threads=2)
    np.testing.assert_array_equal(again, ints)
    assert again.flags.writeable


def test_large_symbols_are_not_for_huffman():
    ints = np.array([5000] * 100, np.uint16)
    assert encode_ints(ints).coder == "packed"
    with pytest.raises(ValueError, match="none of the coders"):
        encode_ints(ints, coders=["huffman"])
    with pytest.raises(ValueError, match="none of the coders"):
        encode_ints(ints, coders=[])
    with pytest.raises(ValueError, match="no coder 'ans'"):
        encode_ints(ints, coders=["ans"])


@pytest.mark.parametrize(
    ("coder", "width", "what"),
    [
        ("ans", 0, "no integer coder 'ans'"),
        ("packed", 9, "width 9"),
        ("packed", -1, "width -1"),
        ("huffman", 8, "width 8"),
    ],
)
def test_wrong_descriptions(coder, width, what):
    with pytest.raises(BadStream, match=what):
        decode_ints(coder, width, b"abc", 4, np.uint8)


def test_coders_are_the_codecs():
    ints = np.arange(50, dtype=np.uint8)
    assert encode_ints(ints, coders=["packed"]).data == bitpack.encode(ints, 6)
    assert encode_ints(ints, coders=["huffman"]).data == huffman.encode(ints)
