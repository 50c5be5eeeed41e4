import numpy as np
import pytest

from cmodel.codecs import context, encode_ints, rans, reference_context
from cmodel.codecs.context import Matrix
from cmodel.errors import BadStream


def some_weights(rows, columns, scale, dtype=np.uint8, seed=0):
    """Integers whose rows and columns differ in size, around the middle of their range."""
    rng = np.random.default_rng(seed)
    sizes = rng.gamma(1.5, size=(rows, 1)) * rng.gamma(1.5, size=columns) * scale
    top = np.iinfo(dtype).max
    return np.clip(np.rint(rng.laplace(size=(rows, columns)) * sizes) + top // 2, 0, top).astype(
        dtype
    )


def test_worked_examples():
    """Those of the specification."""
    ints = np.array([2, 1, 2, 2, 3, 12], np.uint8)
    data = context.encode(ints, Matrix(2, 2))
    assert data == bytes.fromhex("00 02 02 8d 22 e4 9d 6f")
    assert data == reference_context.encode(ints.tolist(), 2, 2)
    assert context.decode(data, 6, np.uint8).tolist() == ints.tolist()
    assert context.columns_of(data, 6, np.uint8) == 3
    row = np.array([3, 2, 1, 4], np.uint8)
    data = context.encode(row, Matrix(1, 2, trellis=True))
    assert data == bytes.fromhex("01 01 02 79 04")
    assert reference_context.decode(data, 4, 8) == row.tolist()


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (7, 13), (40, 18)])
@pytest.mark.parametrize("scale", [0.1, 1, 9, 60])
@pytest.mark.parametrize("distances", [(0, 0), (1, 1), (3, 9), (0, 2)])
@pytest.mark.parametrize("trellis", [False, True])
def test_agrees_with_reference(shape, scale, distances, trellis):
    rows, columns = shape
    width, period = (min(distance, columns) for distance in distances)
    for dtype, bits in ((np.uint8, 8), (np.uint16, 16)):
        ints = some_weights(rows, columns, scale * (1 if bits == 8 else 50), dtype).reshape(-1)
        zero = int(np.iinfo(dtype).max) // 2
        data = reference_context.encode(ints.tolist(), rows, zero, width, period, trellis)
        pairs = [(width, period)] if width or period else []
        coded = context.encode(ints, Matrix(rows, zero, pairs, trellis))
        assert coded == data or len(coded) <= len(data)
        np.testing.assert_array_equal(context.decode(data, ints.size, dtype), ints)
        np.testing.assert_array_equal(context.decode(coded, ints.size, dtype), ints)
        assert reference_context.decode(coded, ints.size, bits) == ints.tolist()


def test_extremes():
    for ints in ([0, 65535, 0, 65535], [65535] * 4, [0, 0, 0, 1]):
        for zero in (0, 65535, 30000):
            data = context.encode(np.array(ints, np.uint16), Matrix(2, zero))
            assert data == reference_context.encode(ints, 2, zero)
            assert context.decode(data, 4, np.uint16).tolist() == ints
    assert context.encode(np.empty(0, np.uint8), Matrix(3)) == b""
    assert context.decode(b"", 0, np.uint8).size == 0


def test_zero_is_the_most_frequent_integer():
    ints = np.array([7, 7, 3, 7, 9, 9], np.uint8)
    assert context.encode(ints, Matrix(2)) == context.encode(ints, Matrix(2, 7))


def test_distances_are_chosen_where_they_help():
    rng = np.random.default_rng(1)
    pattern = np.repeat(rng.integers(-3, 4, (64, 1, 20)), 4, axis=1) + rng.integers(
        0, 2, (64, 4, 20)
    )
    ints = (pattern.reshape(-1) + 9).astype(np.uint8)
    plain = context.encode(ints, Matrix(64, 9))
    better = context.encode(ints, Matrix(64, 9, [(20, 0), (7, 0)]))
    assert len(better) < 0.9 * len(plain)
    assert better == context.encode(ints, Matrix(64, 9, [(20, 0)]))
    noise = rng.integers(0, 5, 1280).astype(np.uint8)
    chosen = context.encode(noise, Matrix(64, 2, [(20, 0)]))
    assert len(chosen) <= len(context.encode(noise, Matrix(64, 2)))


def test_beats_static_entropy_where_rows_and_columns_differ():
    ints = some_weights(100, 120, 0.5).reshape(-1)
    assert len(context.encode(ints, Matrix(100))) < 0.9 * len(rans.encode(ints))
    assert encode_ints(ints, matrix=Matrix(100)).coder == "context"


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (Matrix(0), "no matrix"),
        (Matrix(4), "no matrix"),
        (Matrix(3, 256), "zero is"),
        (Matrix(3, -1), "zero is"),
        (Matrix(3, 0, [(3, 0)]), "distances are"),
        (Matrix(3, 0, [(0, -1)]), "distances are"),
    ],
)
def test_refuses_impossible_matrices(matrix, message):
    with pytest.raises(ValueError, match=message):
        context.encode(np.zeros(6, np.uint8), matrix)


def test_every_truncation_is_named():
    ints = some_weights(5, 20, 1).reshape(-1)
    data = context.encode(ints, Matrix(5, None, [(3, 9)]))
    for size in range(len(data)):
        with pytest.raises(BadStream, match="context stream is damaged"):
            context.decode(data[:size], ints.size, np.uint8)
    with pytest.raises(BadStream, match="bytes after its end"):
        context.decode(data + b"\0", ints.size, np.uint8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no whole head"),
        (b"\x04\x02\x01", "an unknown flag"),
        (b"\x00\x00\x01", "rows that do not divide"),
        (b"\x00\x04\x01", "rows that do not divide"),
        (b"\x00\x02\x80\x02", "a zero out of range"),
        (b"\x02\x02\x01\x04\x00", "a distance longer"),
        (b"\x02\x02\x01\x00\x00", "distances that are none"),
        (b"\x00\x02\x01\xff\xff\xff\xff", "beyond the range"),
        (b"\x00\x01\x00" + bytes(12), "an integer out of range"),
    ],
)
def test_heads_are_checked(data, message):
    with pytest.raises(BadStream, match=message):
        context.decode(data, 6, np.uint8)
    with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
        reference_context.decode(data, 6, 8)
