import numpy as np
import pytest

from cmodel.codecs import huffman, reference, relindex
from cmodel.errors import BadStream


def array(*positions):
    return np.array(positions, np.int64)


def test_worked_example():
    """Gaps 2, 0, 7 with b = 2, M = 3: 2; 0; escape, escape, 1."""
    symbols = relindex.encode(array(2, 3, 11), 12, 2)
    assert symbols.dtype == np.uint8
    assert symbols.tolist() == [2, 0, 3, 3, 1]
    assert relindex.decode(symbols, 3, 12, 2).tolist() == [2, 3, 11]


def test_gap_that_is_a_multiple_of_the_escape():
    assert relindex.encode(array(3), 4, 2).tolist() == [3, 0]
    assert relindex.encode(array(0, 15), 16, 3).tolist() == [0, 7, 7, 0]


def test_empty():
    assert relindex.encode(array(), 0, 4).size == 0
    assert relindex.decode(np.array([], np.uint8), 0, 0, 4).size == 0
    assert relindex.best_width(array(), 100) == 1


@pytest.mark.parametrize("b", range(1, 12))
@pytest.mark.parametrize("density", [0.001, 0.05, 0.5, 1.0])
def test_agrees_with_reference(b, density):
    rng = np.random.default_rng(b)
    positions = np.flatnonzero(rng.random(5000) < density).astype(np.int64)
    symbols = relindex.encode(positions, 5000, b)
    assert symbols.dtype == (np.uint8 if b <= 8 else np.uint16)
    assert symbols.tolist() == reference.relindex_encode(positions.tolist(), b)
    decoded = relindex.decode(symbols, positions.size, 5000, b)
    assert decoded.dtype == np.int64
    np.testing.assert_array_equal(decoded, positions)
    again = reference.relindex_decode(symbols.tolist(), positions.size, 5000, b)
    assert again == positions.tolist()


def test_wrong_arguments():
    for positions in (array(1, 1), array(2, 1), array(-1), array(10)):
        with pytest.raises(ValueError, match=r"increase strictly within 0\.\.9"):
            relindex.encode(positions, 10, 4)
        with pytest.raises(ValueError, match="increase strictly"):
            relindex.best_width(positions, 10)
    with pytest.raises(ValueError, match="1 to 11"):
        relindex.encode(array(1), 10, 0)
    with pytest.raises(ValueError, match="1 to 11"):
        relindex.decode(np.array([1], np.uint8), 1, 10, 12)
    with pytest.raises(ValueError, match="int64"):
        relindex.encode(np.array([1], np.int32), 10, 4)
    with pytest.raises(ValueError, match="count"):
        relindex.decode(np.array([1], np.uint8), -1, 10, 4)


@pytest.mark.parametrize(
    ("symbols", "count", "size", "what"),
    [
        ([4], 1, 10, "over 3"),
        ([2, 2, 2, 2], 4, 10, "outside"),
        ([3, 3, 3, 3], 0, 10, "outside"),
        ([0, 0], 3, 10, "cannot give"),
        ([0] * 5, 5, 4, "cannot give"),
        ([0, 0, 0], 2, 10, "3 positions instead of 2"),
        ([0, 3, 0], 3, 10, "2 positions instead of 3"),
        ([0, 3], 1, 10, "ends with an escape"),
        ([3], 0, 10, "ends with an escape"),
    ],
)
def test_damage_is_named(symbols, count, size, what):
    with pytest.raises(BadStream, match=what) as caught:
        relindex.decode(np.array(symbols, np.uint8), count, size, 2)
    assert "symbol" in (caught.value.where or "")
    with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
        reference.relindex_decode(symbols, count, size, 2)


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.95])
def test_best_width_is_the_cheapest(density):
    rng = np.random.default_rng(7)
    positions = np.flatnonzero(rng.random(4000) < density).astype(np.int64)
    sizes = {b: len(huffman.encode(relindex.encode(positions, 4000, b))) for b in range(1, 9)}
    best = relindex.best_width(positions, 4000)
    assert sizes[best] == min(sizes.values())
    assert all(sizes[b] > sizes[best] for b in range(1, best))
