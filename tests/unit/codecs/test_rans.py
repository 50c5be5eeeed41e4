import math
import zlib

import numpy as np
import pytest

from cmodel.codecs import huffman, rans, reference_rans
from cmodel.errors import BadStream, ChecksumMismatch


def gaussian(count, alphabet, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(count) * alphabet / 7 + alphabet / 2
    return values.clip(0, alphabet - 1).astype(dtype)


def entropy_bytes(symbols):
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / symbols.size)).sum() / 8)


def test_worked_example():
    """Four symbols with the weights 3, 1, 0 and 0: frequencies 3070, 1024, 1 and 1."""
    symbols = np.array([0, 0, 1, 0], np.uint8)
    # A = 4, head: p = 2, r = 0, no unused symbols. Levels 3 (six bits), 1, 0, 0: the differences
    # -2, -1 and 0 are 3, 1 and 0 in unary.
    table = bytes([4, 2, 0b11000011, 0b00000101])
    assert rans.frequencies(table).tolist() == [3070, 1024, 1, 1]
    assert reference_rans.read_table(table) == ([3070, 1024, 1, 1], 4)
    # From the last one: symbol 0 leaves 1; symbol 1 gives 3071; symbol 0 gives 4097, then 5123.
    assert rans.encode(symbols, table=table) == (5123).to_bytes(2, "little")
    assert rans.decode(table + b"\x03\x14", 4, np.uint8).tolist() == [0, 0, 1, 0]


def test_empty_and_single_symbol():
    assert rans.encode(np.array([], np.uint8)) == b"\0"
    assert rans.decode(b"\0", 0, np.uint8).size == 0
    one = rans.encode(np.full(1000, 5, np.uint16))
    assert one == bytes([6, 0xC0])
    np.testing.assert_array_equal(rans.decode(one, 12345, np.uint16), np.full(12345, 5))


@pytest.mark.parametrize("count", [1, 2, 63, 4095, 4096, 4097, 4101, 8192, 8193, 20000])
@pytest.mark.parametrize("alphabet", [2, 5, 33, 256, 2048])
@pytest.mark.parametrize("lanes", [1, 32])
def test_agrees_with_reference(count, alphabet, lanes):
    symbols = gaussian(count, alphabet, np.uint16, seed=count)
    table = rans.table_of(np.bincount(symbols))
    assert rans.table_size(table) == len(table)
    assert reference_rans.read_table(table) == (rans.frequencies(table).tolist(), len(table))
    payload = reference_rans.encode(symbols.tolist(), table, chunk_log2=12, wide=lanes > 1)
    data = rans.encode(symbols, chunk_log2=12, lanes=lanes)
    assert data == table + payload
    assert reference_rans.decode(data, count) == symbols.tolist()
    for threads in (1, 2):
        decoded = rans.decode(data, count, np.uint16, threads)
        assert decoded.dtype == np.uint16
        np.testing.assert_array_equal(decoded, symbols)
    if alphabet <= 256:
        assert rans.encode(symbols.astype(np.uint8), chunk_log2=12, lanes=lanes) == data
        np.testing.assert_array_equal(rans.decode(data, count, np.uint8), symbols)


@pytest.mark.parametrize("chunk_log2", [12, 13, 18, 20])
@pytest.mark.parametrize("count", [4097, 65536, 65537, 300_001])
@pytest.mark.parametrize("lanes", [None, 1, 32])
def test_round_trip_of_long_streams(count, chunk_log2, lanes):
    symbols = gaussian(count, 32)
    data = rans.encode(symbols, chunk_log2=chunk_log2, lanes=lanes)
    for threads in (1, 3):
        np.testing.assert_array_equal(rans.decode(data, count, np.uint8, threads), symbols)


@pytest.mark.parametrize("alphabet", [2, 3, 16, 32, 256])
@pytest.mark.parametrize("count", [100, 500, 4000, 100_000])
def test_is_near_the_entropy(alphabet, count):
    symbols = gaussian(count, alphabet)
    table = rans.table_of(np.bincount(symbols))
    payload = len(rans.encode(symbols, table=table, lanes=1))
    # Two bytes for the state; the frequencies' rounding grows with the symbols.
    assert payload <= entropy_bytes(symbols) * 1.002 + 2 + alphabet / 4
    total = len(rans.encode(symbols))
    assert total <= len(huffman.encode(symbols)) + 3


def test_small_streams_have_small_tables():
    symbols = gaussian(500, 32)
    data = rans.encode(symbols)
    table = rans.table_size(data)
    assert table == 5  # alphabet, head, centre, slope, bend
    assert data[1] == 0x80
    assert len(data) - table <= entropy_bytes(symbols) + 7
    rough = np.random.default_rng(1).permutation(32)[gaussian(20_000, 32)].astype(np.uint8)
    assert rans.table_size(rans.encode(rough)) <= 36


def test_unused_symbols_cost_little():
    symbols = np.array([0, 700, 2047] * 50 + [700] * 300, np.uint16)
    data = rans.encode(symbols)
    assert rans.table_size(data) <= 12
    frequencies = rans.frequencies(data[: rans.table_size(data)])
    assert np.flatnonzero(frequencies).tolist() == [0, 700, 2047]
    assert frequencies.sum() == 4096


def test_rare_symbols_keep_a_frequency():
    symbols = np.zeros(1 << 20, np.uint16)
    symbols[:2048] = np.arange(2048)
    data = rans.encode(symbols)
    np.testing.assert_array_equal(rans.decode(data, symbols.size, np.uint16), symbols)
    assert rans.frequencies(data[: rans.table_size(data)]).min() == 1


def test_encoded_size_is_that_of_one_lane():
    for count in (0, 1, 10, 4096):
        for alphabet in (1, 2, 32, 256):
            symbols = gaussian(count, alphabet)
            histogram = np.bincount(symbols)
            size = len(rans.encode(symbols))
            assert abs(rans.encoded_size(histogram) - size) <= 2
            table = rans.table_of(np.ones(256, int))
            size = len(rans.encode(symbols, table=table))
            shared = rans.encoded_size(histogram, table=table)
            assert size <= shared + 2
            assert alphabet <= 2 or size >= shared - 2


def test_streams_share_a_table():
    first, second = gaussian(3000, 32, seed=1), gaussian(5000, 32, seed=2)
    table = rans.table_of(np.bincount(first, minlength=32) + np.bincount(second, minlength=32))
    for symbols in (first, second, first[:0]):
        data = rans.encode(symbols, table=table)
        decoded = rans.decode(data, symbols.size, np.uint8, table=table)
        np.testing.assert_array_equal(decoded, symbols)
        assert reference_rans.decode(data, symbols.size, table) == symbols.tolist()
    assert rans.encode(first[:0], table=table) == b""
    single = rans.table_of([0, 0, 7])
    assert rans.encode(np.array([2, 2], np.uint8), table=single) == b""
    assert rans.decode(b"", 3, np.uint8, table=single).tolist() == [2, 2, 2]


def test_wrong_tables():
    table = rans.table_of([3, 0, 5])
    with pytest.raises(ValueError, match="symbol 1 has no code"):
        rans.encode(np.array([0, 1], np.uint8), table=table)
    with pytest.raises(ValueError, match="symbol 1 has no code"):
        rans.encoded_size([0, 1], table=table)
    with pytest.raises(BadStream, match="bytes after its end"):
        rans.decode(b"", 0, np.uint8, table=table + b"\0")
    with pytest.raises(BadStream, match="rANS table is damaged"):
        rans.decode(b"", 1, np.uint8, table=b"")
    with pytest.raises(BadStream, match="empty alphabet"):
        rans.decode(b"", 1, np.uint8, table=b"\0")
    with pytest.raises(BadStream, match="no table"):
        rans.table_size(b"\x05")


def test_wrong_arguments():
    with pytest.raises(ValueError, match="symbol 2048"):
        rans.encode(np.array([1, 2048], np.uint16))
    with pytest.raises(ValueError, match="chunk_log2"):
        rans.encode(np.array([1], np.uint8), chunk_log2=21)
    with pytest.raises(ValueError, match="lanes"):
        rans.encode(np.array([1], np.uint8), lanes=4)
    with pytest.raises(ValueError, match="uint32"):
        rans.encode(np.array([1], np.uint32))
    with pytest.raises(ValueError, match="dtype"):
        rans.decode(b"\0", 0, np.int8)
    with pytest.raises(ValueError, match="count"):
        rans.decode(b"\0", -1, np.uint8)
    with pytest.raises(ValueError, match="histogram"):
        rans.encoded_size(np.ones(2049, int))


# Two symbols of frequency 2048 each: p = 0, levels 1 and 1.
EVEN = b"\x02\x00\x01"


@pytest.mark.parametrize(
    ("data", "count", "what"),
    [
        (b"", 1, "no alphabet size"),
        (b"\x80\x00", 1, "no alphabet size"),
        (b"\x81\x10", 1, "over 2048"),
        (b"\x00", 1, "empty alphabet"),
        (b"\x00\x00", 0, "after its end"),
        (b"\x01\xc0", 0, "for no symbol"),
        (b"\x01\xc0\x00", 1, "after its end"),
        (b"\x05", 1, "no table"),
        (b"\x05\x81", 1, "no such table"),
        (b"\x05\xc1", 1, "no such table"),
        (b"\x01\x00\x01", 1, "single symbol"),
        (b"\x02\x40\x03\x00", 1, "too many unused"),
        (b"\x02\x40\xff\xff", 1, "too many unused"),
        (b"\x02\x00\x00", 1, "all weights are zero"),
        (b"\x02\x00\x71", 1, "weight is out of range"),
        (b"\x02\x00" + b"\xff" * 6, 1, "weight is out of range"),
        (b"\x02\x00\x21", 1, "padding after the table"),
        (b"\x03\x07\x01", 1, "inside the table"),
        (b"\x02\x00", 1, "inside the table"),
        (b"\x02\x80\x04", 1, "inside the table"),
        (b"\x02\x80\x09\x00\x00", 1, "centre"),
        (b"\x01\x80\x00\x00\x00", 1, "single symbol"),
        (EVEN + b"\x00", 1, "too low"),
        (EVEN + b"\x01\x00\x00\x00", 1, "too low"),
        (EVEN + b"\x01\x00\x01\x00\x01", 1, "half a word"),
        (EVEN + b"\x01\x00\x00\x00\x01\x00", 1, "too low"),
        (EVEN + b"\x00\x00\x00\x01\x01\x00", 1, "after its end"),
        (EVEN + b"\x01\x01", 1, "wrong state"),
        (EVEN, 5000, "no chunk size"),
        (EVEN + b"\x0b", 5000, "out of range"),
        (EVEN + b"\x15", 5000, "out of range"),
        (EVEN + b"\x2d", 5000, "out of range"),
        (EVEN + b"\x0c" + bytes(15), 5000, "too short"),
        (EVEN + b"\x8d" + bytes(100), 5000, "no states"),
        (EVEN + b"\x8d" + bytes(129), 5000, "half a word"),
        (EVEN + b"\x8d" + bytes(128), 5000, "too low"),
        (EVEN + b"\x8d" + b"\x00\x00\x01\x00" * 32, 5000, "before its last symbol"),
        (EVEN + b"\x8d" + b"\x00\x00\x01\x00" * 32 + bytes(2000), 5000, "after its end"),
    ],
)
def test_damage_is_named(data, count, what):
    with pytest.raises(BadStream, match=what) as caught:
        rans.decode(data, count, np.uint16)
    assert "of it" in (caught.value.where or "")
    with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
        reference_rans.decode(data, count)


def test_symbols_must_fit_the_integers():
    with pytest.raises(BadStream, match="eight bits"):
        rans.decode(rans.encode(np.array([300, 1], np.uint16)), 2, np.uint8)


def test_chunk_checksum_and_jump_table():
    symbols = gaussian(20_000, 32)
    data = rans.encode(symbols, chunk_log2=12, lanes=1)
    jumps = rans.table_size(data) + 1
    sizes = np.frombuffer(data[jumps : jumps + 40], "<u4")[::2]
    start = jumps + 40 + int(sizes[0])
    assert zlib.crc32(data[start : start + int(sizes[1])]) == int.from_bytes(
        data[jumps + 12 : jumps + 16], "little"
    )
    damaged = bytearray(data)
    damaged[start + 5] ^= 1
    for threads in (1, 2):
        with pytest.raises(ChecksumMismatch, match=rf"CRC-32(.|\n)*byte {start} "):
            rans.decode(bytes(damaged), 20_000, np.uint8, threads)
    with pytest.raises(BadStream, match="after the last chunk"):
        rans.decode(data + b"\0", 20_000, np.uint8)


def test_huge_count_is_refused_before_allocating():
    with pytest.raises(BadStream, match="too short"):
        rans.decode(rans.encode(gaussian(5000, 32)), 1 << 50, np.uint8)


@pytest.mark.parametrize(("count", "lanes"), [(300, 1), (4400, 32)])
def test_cuts_and_bit_flips_are_survived_and_mostly_noticed(count, lanes):
    """A state at the end that is not the first one tells, but one lane without words may reach it."""
    symbols = gaussian(count, 20)
    data = rans.encode(symbols, lanes=lanes)
    table = rans.table_size(data)
    flips = range(8 * table, 8 * len(data), 1 if count < 4096 else 17)
    flipped = [
        data[: i // 8] + bytes([data[i // 8] ^ 1 << i % 8]) + data[i // 8 + 1 :] for i in flips
    ]
    cuts = [data[:end] for end in range(len(data))]
    for damaged, share in ((cuts, 0.75 if lanes == 1 else 1), (flipped, 0.98)):
        noticed = 0
        for stream in damaged:
            try:
                assert rans.decode(stream, count, np.uint8).size == count
            except BadStream:
                noticed += 1
        assert noticed >= share * len(damaged)


def test_parametric_table_follows_its_formula():
    # Centre 8 quarters (symbol 2), slope 0, bend 4 << 12: 4 d^2 / 16 sixteenths of an octave.
    frequencies = rans.frequencies(bytes([5, 0x80, 8, 0, 0xC4])).tolist()
    weights = [reference_rans.POWERS[k % 16] >> (k // 16) for k in (16, 4, 0, 4, 16)]
    share = [w * 4091 / sum(weights) for w in weights]
    assert all(abs(f - 1 - s) < 1 for f, s in zip(frequencies, share, strict=True))
    assert math.isclose(frequencies[2] / frequencies[0], 2, rel_tol=0.01)
