import numpy as np
import pytest

from cmodel.codecs import (
    CODERS,
    bitpack,
    decode_ints,
    decode_words,
    encode_ints,
    encode_words,
    huffman,
    planes,
    rans,
)
from cmodel.codecs.context import Matrix
from cmodel.errors import BadStream


def test_picks_the_smallest():
    rng = np.random.default_rng(0)
    flat = rng.integers(0, 32, 1000).astype(np.uint8)
    assert encode_ints(flat).coder == "packed"
    skewed = (rng.random(1000) < 0.1).astype(np.uint8) * 9
    assert encode_ints(skewed).coder == "rans"
    assert encode_ints(skewed, coders=["packed", "huffman"]).coder == "huffman"
    wide = np.clip(rng.normal(30000, 500, 5000), 0, 65535).astype(np.uint16)
    assert encode_ints(wide).coder == "split"
    noise = rng.integers(0, 256, 1000).astype(np.uint8)
    assert (encode_ints(noise).coder, encode_ints(noise).width) == ("packed", 8)
    for ints in (flat, skewed, noise):
        sizes = [len(encode_ints(ints, coders=[coder]).data) for coder in CODERS[:3]]
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
    if (coder, dtype) == ("split", np.uint8):
        with pytest.raises(ValueError, match="none of the coders"):
            encode_ints(ints, coders=[coder])
        return
    coded = encode_ints(ints, coders=[coder], matrix=Matrix(1))
    assert coded.coder == coder
    decoded = decode_ints(coded.coder, coded.width, coded.data, count, dtype)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, ints)
    # Any buffer will do, and the result is the caller's own.
    view = memoryview(bytearray(coded.data))
    again = decode_ints(coded.coder, coded.width, view, count, dtype, threads=2)
    np.testing.assert_array_equal(again, ints)
    assert again.flags.writeable


def test_large_symbols_are_for_packed_and_split():
    ints = np.array([5000] * 100, np.uint16)
    assert encode_ints(ints, coders=["packed", "huffman", "rans"]).coder == "packed"
    for coder in ("huffman", "rans"):
        with pytest.raises(ValueError, match="none of the coders"):
            encode_ints(ints, coders=[coder])
    assert encode_ints(ints).coder == "split"
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
        ("rans", 1, "width 1"),
        ("split", 1, "width 1"),
    ],
)
def test_wrong_descriptions(coder, width, what):
    with pytest.raises(BadStream, match=what):
        decode_ints(coder, width, b"abc", 4, np.uint8)


def test_coders_are_the_codecs():
    ints = np.arange(50, dtype=np.uint8)
    assert encode_ints(ints, coders=["packed"]).data == bitpack.encode(ints, 6)
    assert encode_ints(ints, coders=["huffman"]).data == huffman.encode(ints)
    assert encode_ints(ints, coders=["rans"]).data == rans.encode(ints)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_words(dtype):
    noise = np.random.default_rng(2).integers(0, np.iinfo(dtype).max, 300).astype(dtype)
    raw = encode_words(noise)
    assert raw.coder == "raw"
    assert raw.data == noise.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    smooth = (np.arange(300) * 7).astype(dtype)
    coded = encode_words(smooth)
    assert (coded.coder, coded.data) == ("planes", planes.encode(smooth))
    for words, encoded in ((noise, raw), (smooth, coded)):
        decoded = decode_words(encoded.coder, encoded.data, 300, dtype)
        assert decoded.dtype == dtype
        assert decoded.flags.writeable
        np.testing.assert_array_equal(decoded, words)


def test_wrong_words():
    words = np.arange(5, dtype=np.uint32)
    with pytest.raises(BadStream, match="20 bytes, and there are 19"):
        decode_words("raw", bytes(19), 5, np.uint32)
    with pytest.raises(BadStream, match="no coder 'huffman'"):
        decode_words("huffman", bytes(20), 5, np.uint32)
    with pytest.raises(ValueError, match="no coder 'rans'"):
        encode_words(words, coders=["rans"])
    with pytest.raises(ValueError, match="no coder is allowed"):
        encode_words(words, coders=[])
