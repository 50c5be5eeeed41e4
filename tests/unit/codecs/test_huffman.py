import zlib

import numpy as np
import pytest

from cmodel.codecs import huffman, reference
from cmodel.errors import BadStream, ChecksumMismatch


def gaussian(count, alphabet, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(count) * alphabet / 7 + alphabet / 2
    return values.clip(0, alphabet - 1).astype(dtype)


def test_worked_example():
    """Four symbols with counts 4, 2, 1, 1: codes 0, 10, 110, 111."""
    symbols = np.array([0, 1, 0, 2, 0, 1, 3, 0], np.uint8)
    # A = 4; lengths 1, 2, 3, 3; then 0 10 0 110 0 10 111 0 from bit 0 on.
    assert huffman.encode(symbols) == bytes([4, 0x21, 0x33, 0b00110010, 0b00011101])


def test_run_codes_of_the_table():
    # Symbols 0 and 39: lengths 1, 38 zeros (15, low and high nibble of 19), 1.
    assert huffman.encode(np.array([0, 39], np.uint8)) == bytes([40, 0xF1, 0x13, 0x01, 0b10])
    # 256 symbols of length 8: 8, then 255 repeats.
    uniform = huffman.encode(np.arange(256, dtype=np.uint8))
    assert uniform[:4] == bytes([0x80, 0x02, 0xE8, 0xEC])
    assert len(uniform) == 4 + 256


def test_empty_and_single_symbol():
    assert huffman.encode(np.array([], np.uint8)) == b"\0"
    assert huffman.decode(b"\0", 0, np.uint8).size == 0
    one = huffman.encode(np.full(1000, 5, np.uint16))
    assert one == bytes([6, 0x2D, 0x01])
    np.testing.assert_array_equal(huffman.decode(one, 12345, np.uint16), np.full(12345, 5))


@pytest.mark.parametrize("count", [1, 2, 63, 4095, 4096, 4097, 4101, 8192, 8193, 20000])
@pytest.mark.parametrize("alphabet", [2, 5, 33, 256, 2048])
def test_agrees_with_reference(count, alphabet):
    symbols = gaussian(count, alphabet, np.uint16, seed=count)
    data = huffman.encode(symbols, chunk_log2=12)
    assert data == reference.huffman_encode(symbols.tolist(), 12)
    assert reference.huffman_decode(data, count) == symbols.tolist()
    for threads in (1, 2):
        decoded = huffman.decode(data, count, np.uint16, threads)
        assert decoded.dtype == np.uint16
        np.testing.assert_array_equal(decoded, symbols)
    if alphabet <= 256:
        assert huffman.encode(symbols.astype(np.uint8), chunk_log2=12) == data
        np.testing.assert_array_equal(huffman.decode(data, count, np.uint8), symbols)


@pytest.mark.parametrize("chunk_log2", [12, 13, 16, 20])
@pytest.mark.parametrize("count", [4097, 65536, 65537, 300_001])
def test_round_trip_of_long_streams(count, chunk_log2):
    symbols = gaussian(count, 32)
    data = huffman.encode(symbols, chunk_log2=chunk_log2)
    for threads in (1, 3):
        np.testing.assert_array_equal(huffman.decode(data, count, np.uint8, threads), symbols)


def test_code_lengths_are_limited_and_optimal():
    fibonacci = [1, 1]
    while len(fibonacci) < 30:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = huffman.code_lengths(fibonacci)
    assert lengths.max() == 11
    assert lengths.tolist() == reference.huffman_lengths(fibonacci)
    assert (0.5 ** lengths.astype(float)).sum() == 1
    # Ties: the smaller symbol has the shorter code.
    assert huffman.code_lengths([7, 7, 7]).tolist() == [1, 2, 2]
    assert huffman.code_lengths([0, 3, 0, 0]).tolist() == [0, 1]
    assert huffman.code_lengths([]).size == 0
    assert huffman.code_lengths(np.ones(2048, int)).tolist() == [11] * 2048


def test_unlimited_codes_match_plain_huffman():
    """Where no code is longer than 11 bits, the cost is that of the two-least-weights algorithm."""
    rng = np.random.default_rng(3)
    for size in (2, 3, 10, 40):
        histogram = rng.integers(1, 50, size).tolist()
        weights, cost = sorted(histogram), 0
        while len(weights) > 1:
            both = weights[0] + weights[1]
            cost += both
            weights = sorted([*weights[2:], both])
        lengths = huffman.code_lengths(histogram)
        assert int((lengths.astype(int) * histogram).sum()) == cost


def test_encoded_size_is_exact_for_small_streams():
    for count in (0, 1, 10, 4096):
        for alphabet in (1, 2, 32, 256):
            symbols = gaussian(count, alphabet)
            assert huffman.encoded_size(np.bincount(symbols)) == len(huffman.encode(symbols))


def test_encoded_size_bounds_long_streams():
    symbols = gaussian(200_000, 32)
    size, chunks = huffman.encoded_size(np.bincount(symbols)), 4
    assert size < len(huffman.encode(symbols)) <= size + 1 + chunks * (9 + 3 + 8)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="symbol 2048"):
        huffman.encode(np.array([1, 2048], np.uint16))
    with pytest.raises(ValueError, match="chunk_log2"):
        huffman.encode(np.array([1], np.uint8), chunk_log2=11)
    with pytest.raises(ValueError, match="uint32"):
        huffman.encode(np.array([1], np.uint32))
    with pytest.raises(ValueError, match="dtype"):
        huffman.decode(b"\0", 0, np.int8)
    with pytest.raises(ValueError, match="count"):
        huffman.decode(b"\0", -1, np.uint8)
    with pytest.raises(ValueError, match="histogram"):
        huffman.encoded_size(np.ones(2049, int))


@pytest.mark.parametrize(
    ("data", "count", "what"),
    [
        (b"", 1, "no alphabet size"),
        (b"", 0, "no alphabet size"),
        (b"\x80\x00", 1, "no alphabet size"),
        (b"\xff\xff\xff\xff\xff", 1, "no alphabet size"),
        (b"\x81\x10", 1, "over 2048"),
        (b"\x00", 1, "empty alphabet"),
        (b"\x00\x00", 0, "after its end"),
        (b"\x01\x01", 0, "for no symbol"),
        (b"\x01\x02", 1, "not 1"),
        (b"\x01\x11", 1, "padding"),
        (b"\x01\x01\x00", 1, "after its end"),
        (b"\x02\x01", 1, "last symbol"),
        (b"\x02", 1, "inside the code lengths"),
        (b"\x09\xf1", 1, "inside the code lengths"),
        (b"\x09\x0c", 1, "repeats no"),
        (b"\x03\xc1\x0f", 1, "more code lengths"),
        (b"\x02\x21\x00", 1, "no complete code"),
        (b"\x03\x11\x01\x00", 1, "no complete code"),
        (b"\x02\x11", 1, "before its last symbol"),
        (b"\x02\x11", 800, "too short"),
        (b"\x02\x11\x00", 9, "before its last symbol"),
        (b"\x02\x11\x00\x00", 8, "after its end"),
        (b"\x02\x11\x80", 7, "padding"),
        (b"\x02\x11", 5000, "no chunk size"),
        (b"\x02\x11\x0b" + bytes(700), 5000, "out of range"),
        (b"\x02\x11\x15" + bytes(700), 5000, "out of range"),
        (b"\x02\x11\x0d\xff\xff\xff\xff\xff" + bytes(700), 5000, "no size"),
        (b"\x02\x11\x0d\xff\x01\xff\x10\x00" + bytes(700), 5000, "longer than its chunk"),
        (b"\x80\x10" + b"\x01" + b"\xff" * 20, 1, "more code lengths"),
    ],
)
def test_damage_is_named(data, count, what):
    with pytest.raises(BadStream, match=what) as caught:
        huffman.decode(data, count, np.uint16)
    assert "of it" in (caught.value.where or "")
    with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
        reference.huffman_decode(data, count)


def test_symbols_must_fit_the_integers():
    with pytest.raises(BadStream, match="eight bits"):
        huffman.decode(huffman.encode(np.array([300, 1], np.uint16)), 2, np.uint8)


def test_chunk_checksum_and_jump_table():
    symbols = gaussian(20_000, 32)
    data = huffman.encode(symbols, chunk_log2=12)
    jumps = data.index(b"\x0c") + 1
    sizes = np.frombuffer(data[jumps : jumps + 40], "<u4")[::2]
    start = jumps + 40 + int(sizes[0])
    assert zlib.crc32(data[start : start + int(sizes[1])]) == int.from_bytes(
        data[jumps + 12 : jumps + 16], "little"
    )
    damaged = bytearray(data)
    damaged[start + 5] ^= 1
    for threads in (1, 2):
        with pytest.raises(ChecksumMismatch, match=rf"CRC-32(.|\n)*byte {start} "):
            huffman.decode(bytes(damaged), 20_000, np.uint8, threads)
    longer = bytearray(data)
    longer[jumps + 2] = 0xFF
    with pytest.raises(BadStream, match="behind the end"):
        huffman.decode(bytes(longer), 20_000, np.uint8)
    with pytest.raises(BadStream, match="after the last chunk"):
        huffman.decode(data + b"\0", 20_000, np.uint8)


def test_huge_count_is_refused_before_allocating():
    with pytest.raises(BadStream, match="too short"):
        huffman.decode(huffman.encode(gaussian(5000, 32)), 1 << 50, np.uint8)


def test_every_single_bit_flip_and_cut_is_survived():
    symbols = gaussian(300, 20)
    data = huffman.encode(symbols)
    for i in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[i // 8] ^= 1 << i % 8
        try:
            assert huffman.decode(bytes(flipped), 300, np.uint8).size == 300
        except BadStream:
            continue
    for end in range(len(data)):
        with pytest.raises(BadStream):
            huffman.decode(data[:end], 300, np.uint8)


def test_streams_share_a_table():
    first, second = gaussian(3000, 32, seed=1), gaussian(5000, 32, seed=2)
    table = huffman.table_of(np.bincount(first, minlength=32) + np.bincount(second, minlength=32))
    assert huffman.table_size(table + b"more") == len(table)
    for symbols in (first, second, first[:0]):
        data = huffman.encode(symbols, table=table)
        decoded = huffman.decode(data, symbols.size, np.uint8, table=table)
        np.testing.assert_array_equal(decoded, symbols)
    assert huffman.encode(first[:0], table=table) == b""
    assert huffman.encoded_size(np.bincount(first), table=table) == len(
        huffman.encode(first, table=table)
    )
    own = huffman.encode(first)
    assert (
        huffman.encode(first, table=own[: huffman.table_size(own)])
        == (own[huffman.table_size(own) :])
    )
    single = huffman.table_of([0, 0, 7])
    assert huffman.encode(np.array([2, 2], np.uint8), table=single) == b""
    assert huffman.decode(b"", 3, np.uint8, table=single).tolist() == [2, 2, 2]


def test_wrong_tables():
    table = huffman.table_of([3, 0, 5])
    with pytest.raises(ValueError, match="symbol 1 has no code"):
        huffman.encode(np.array([0, 1], np.uint8), table=table)
    with pytest.raises(ValueError, match="symbol 3 has no code"):
        huffman.encoded_size([0, 0, 0, 1], table=table)
    with pytest.raises(BadStream, match="bytes after its end"):
        huffman.decode(b"", 0, np.uint8, table=table + b"\0")
    with pytest.raises(BadStream, match="Huffman table is damaged"):
        huffman.decode(b"", 1, np.uint8, table=b"")
    with pytest.raises(BadStream, match="empty alphabet"):
        huffman.decode(b"", 1, np.uint8, table=b"\0")
    with pytest.raises(BadStream, match="before its last symbol"):
        huffman.decode(b"", 1, np.uint8, table=table)
