import os
import subprocess
import sys

import numpy as np
import pytest

from cmodel import _simd, _vectors


def distances(points, words):
    return np.square(points[:, None].astype(np.float64) - words).sum(axis=2)


@pytest.mark.parametrize("k", [1, 7, 8, 9, 64, 300])
@pytest.mark.parametrize("d", [1, 2, 8, 25])
def test_nearest_agrees_with_distances(k, d):
    rng = np.random.default_rng([k, d])
    points, words = rng.standard_normal((101, d), np.float32), rng.standard_normal((k, d))
    words = words.astype(np.float32)
    exact = distances(points, words)
    codes = _vectors.nearest(points, words)
    assert codes.dtype == np.uint16
    np.testing.assert_allclose(
        exact[np.arange(101), codes], exact.min(axis=1), rtol=1e-4, atol=1e-5
    )


def test_of_equally_near_codewords_the_first_is_taken():
    words = np.zeros((20, 3), np.float32)
    words[5:] = 1
    points = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]], np.float32)
    assert _vectors.nearest(points, words).tolist() == [0, 5, 5]


def test_no_points():
    empty = np.empty((0, 3), np.float32)
    assert not _vectors.nearest(empty, np.zeros((2, 3), np.float32)).size
    with pytest.raises(ValueError, match="no points"):
        _vectors.lloyd(empty, np.zeros((2, 3), np.float32))


def lloyd_twin(points, words, most):
    codes = None
    for number in range(1, most + 1):
        new = distances(points, words).argmin(axis=1)
        if codes is not None and (new == codes).all():
            return words, codes, number
        codes = new
        words = np.stack([points[codes == j].mean(axis=0) for j in range(len(words))])
    return words, distances(points, words).argmin(axis=1), most


@pytest.mark.parametrize("most", [1, 3, 100])
def test_lloyd_agrees_with_a_plain_one(most):
    rng = np.random.default_rng(most)
    points = rng.standard_normal((500, 4), np.float32)
    start = points[:16]
    words, codes, rounds = _vectors.lloyd(points, start, most)
    expected, expected_codes, expected_rounds = lloyd_twin(points, start, most)
    assert rounds == expected_rounds
    np.testing.assert_allclose(words, expected, atol=1e-5)
    assert codes.tolist() == expected_codes.tolist()
    np.testing.assert_array_equal(start, points[:16])


def test_lloyd_ends_where_codewords_hardly_move():
    points = np.random.default_rng(0).standard_normal((2000, 4)).astype(np.float32)
    rounds = [_vectors.lloyd(points, points[:32], 100, tol)[2] for tol in (0, 1e-2, 1e9)]
    assert rounds[0] > rounds[1] > rounds[2] == 1


def test_unused_codewords_move_to_the_farthest_points():
    points = np.array([[0.0], [0.25], [9], [10], [30]], np.float32)
    # Three codewords are the same; of them the first gets all that is near.
    words, codes, _ = _vectors.lloyd(points, np.array([[0], [0], [0]], np.float32), 10)
    assert sorted(words[:, 0].tolist()) == [0.125, 9.5, 30]
    assert len(set(codes.tolist())) == 3


def test_a_codeword_stays_where_all_points_lie_on_others():
    points = np.zeros((5, 2), np.float32)
    words, codes, _ = _vectors.lloyd(points, np.array([[0, 0], [1, 1]], np.float32))
    assert words.tolist() == [[0, 0], [1, 1]]
    assert not codes.any()


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((2, 3)), np.zeros((1, 3), np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros((1, 2), np.float32)),
        (np.zeros(3, np.float32), np.zeros((1, 3), np.float32)),
        (np.zeros((2, 0), np.float32), np.zeros((1, 0), np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros((0, 3), np.float32)),
        (np.zeros((2, 1), np.float32), np.zeros((65537, 1), np.float32)),
    ],
)
def test_wrong_arrays_are_refused(points, words):
    for call in (_vectors.nearest, _vectors.lloyd):
        with pytest.raises(ValueError, match=r"points|codewords"):
            call(points, words)


PROGRAM = """
import sys, numpy as np
from cmodel import _vectors
rng = np.random.default_rng(0)
points = rng.standard_normal((999, 5), np.float32)
words, codes, _ = _vectors.lloyd(points, points[:37], 5)
sys.stdout.buffer.write(words.tobytes() + codes.tobytes())
"""


def test_all_levels_give_the_same_bits():
    found = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "CMODEL_SIMD": level},
            check=True,
            capture_output=True,
        ).stdout
        for level in _simd.available()
    }
    assert len(found) == 1
