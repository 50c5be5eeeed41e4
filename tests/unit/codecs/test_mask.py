import numpy as np
import pytest

from cmodel.codecs import mask, reference_mask
from cmodel.errors import BadStream


def some_mask(rows, columns, density, seed=0):
    """Rows and columns of different density, as pruned layers have them."""
    rng = np.random.default_rng(seed)
    share = rng.gamma(0.5, size=(rows, 1)) * rng.gamma(0.5, size=columns)
    chosen = rng.random((rows, columns)) < share * density / share.mean()
    return np.flatnonzero(chosen).astype(np.int64)


def test_worked_example():
    """A 2 x 4 matrix with ones at 1 and 6."""
    positions = np.array([1, 6], np.int64)
    data = mask.encode(positions, 2, 4)
    assert data == reference_mask.encode([1, 6], 2, 4, 0)
    assert data == bytes.fromhex("00 2c ba")
    assert mask.decode(data, 2, 4, 2).tolist() == [1, 6]


def test_none_and_all():
    none = np.empty(0, np.int64)
    for rows, columns in ((0, 0), (0, 5), (3, 0), (1, 1), (10_000, 10_000)):
        assert mask.encode(none, rows, columns) == b""
        assert mask.decode(b"", rows, columns, 0).size == 0
    everything = np.arange(12, dtype=np.int64)
    assert mask.encode(everything, 3, 4) == b""
    np.testing.assert_array_equal(mask.decode(b"", 3, 4, 12), everything)


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (7, 13), (50, 20), (20, 200)])
@pytest.mark.parametrize("density", [0.002, 0.05, 0.5, 0.97])
@pytest.mark.parametrize("period", [0, 1, 9])
def test_agrees_with_reference(shape, density, period):
    rows, columns = shape
    period = min(period, columns)
    positions = some_mask(rows, columns, density, seed=rows)
    data = mask.encode(positions, rows, columns, periods=[period])
    assert data == reference_mask.encode(positions.tolist(), rows, columns, period)
    assert reference_mask.decode(data, rows, columns, positions.size) == positions.tolist()
    decoded = mask.decode(data, rows, columns, positions.size)
    assert decoded.dtype == np.int64
    np.testing.assert_array_equal(decoded, positions)


@pytest.mark.parametrize("shape", [(70_000, 1), (1, 70_000), (66_000, 2)])
def test_counts_are_halved_where_they_would_overflow(shape):
    rows, columns = shape
    positions = some_mask(rows, columns, 0.4)
    data = mask.encode(positions, rows, columns)
    assert data == reference_mask.encode(positions.tolist(), rows, columns, 0)
    np.testing.assert_array_equal(mask.decode(data, rows, columns, positions.size), positions)


def test_density_is_learnt_per_row_and_column():
    rows, columns = 300, 400
    even = np.flatnonzero(np.random.default_rng(0).random((rows, columns)) < 0.02)
    uneven = some_mask(rows, columns, 0.02)
    bits = {}
    for name, positions in (("even", even), ("uneven", uneven)):
        data = mask.encode(positions, rows, columns)
        np.testing.assert_array_equal(mask.decode(data, rows, columns, positions.size), positions)
        density = positions.size / (rows * columns)
        entropy = -density * np.log2(density) - (1 - density) * np.log2(1 - density)
        bits[name] = 8 * len(data) / (rows * columns * entropy)
    assert bits["even"] < 1.03
    assert bits["uneven"] < 0.8


def test_the_best_period_is_taken():
    """Every fifth column is dense, in places that differ from row to row."""
    rng = np.random.default_rng(0)
    rows = [np.roll(np.arange(200) % 5 == 0, rng.integers(5)) for _ in range(100)]
    positions = np.flatnonzero(np.array(rows))
    sizes = {k: len(mask.encode(positions, 100, 200, periods=[k])) for k in (0, 3, 5)}
    assert sizes[5] < 0.5 * min(sizes[0], sizes[3])
    data = mask.encode(positions, 100, 200, periods=[0, 3, 5])
    assert len(data) == sizes[5]
    assert data[0] == 5
    np.testing.assert_array_equal(mask.decode(data, 100, 200, positions.size), positions)


def test_empty_rows_are_skipped():
    """10^9 elements; each row without ones takes one decision, the end none."""
    positions = np.array([5, 99_999_000_000 // 100], np.int64)
    data = mask.encode(positions, 100_000, 10_000)
    assert len(data) < 30
    np.testing.assert_array_equal(mask.decode(data, 100_000, 10_000, 2), positions)


def test_wrong_arguments():
    one = np.array([3], np.int64)
    with pytest.raises(ValueError, match="up to 4294967295 elements"):
        mask.encode(one, 1 << 16, 1 << 16)
    with pytest.raises(ValueError, match="increase strictly"):
        mask.encode(one, 1, 3)
    with pytest.raises(ValueError, match="increase strictly"):
        mask.encode(np.array([2, 2], np.int64), 1, 3)
    with pytest.raises(ValueError, match="int64"):
        mask.encode(one.astype(np.int32), 1, 4)
    with pytest.raises(ValueError, match="periods"):
        mask.encode(one, 1, 4, periods=[5])
    with pytest.raises(ValueError, match="periods"):
        mask.encode(one, 1, 4, periods=[])
    with pytest.raises(ValueError, match="elements"):
        mask.decode(b"", 2, 2, 5)
    with pytest.raises(ValueError, match="elements"):
        mask.decode(b"", -1, 2, 0)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "no period"),
        (b"\x80\x00", "no period"),
        (b"\x06\x00", "longer than a row"),
        (b"\x00", "ends before its last one"),
        (b"\x00\x2c\xba\x00", "after its end"),
        (b"\x00\x54", "used row"),
        (b"\x00\xff\xff\xff\xfe", "fewer ones"),
        (b"\x00\xff\xff\xff\xff", "beyond the range"),
    ],
)
def test_damage_is_named(data, what):
    with pytest.raises(BadStream, match=what) as caught:
        mask.decode(data, 2, 4, 2)
    assert "of it" in (caught.value.where or "")
    with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
        reference_mask.decode(data, 2, 4, 2)


def test_bytes_where_none_are_due():
    for count in (0, 8):
        with pytest.raises(BadStream, match="after its end"):
            mask.decode(b"\0", 2, 4, count)


def test_a_used_row_has_a_one():
    positions = np.array([1], np.int64)
    data = mask.encode(positions, 3, 1)
    refused = 0
    for first in range(256):
        try:
            mask.decode(bytes([0, first]), 3, 1, 1)
        except BadStream as error:
            refused += "used row" in str(error)
    assert data[0] == 0
    assert refused > 10


def test_a_short_stream_does_not_take_long():
    """Elements cost at least 1/45,000 bit: what needs more of them than there is ends early."""
    with pytest.raises(BadStream, match="ends before its last one"):
        mask.decode(b"\x00\x7f", 1, 1 << 28, 5)


def test_every_bit_flip_and_cut_is_survived():
    positions = some_mask(20, 50, 0.1)
    data = mask.encode(positions, 20, 50)
    for i in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[i // 8] ^= 1 << i % 8
        try:
            found = mask.decode(bytes(flipped), 20, 50, positions.size)
        except BadStream:
            continue
        assert (np.diff(found) > 0).all()
        assert found.size == positions.size
    for end in range(len(data)):
        with pytest.raises(BadStream):
            mask.decode(data[:end], 20, 50, positions.size)
