import numpy as np
import pytest

from cmodel import _kmeans


def lloyd_twin(values, centroids, max_iter):
    centroids = np.asarray(centroids, np.float64).copy()
    labels = None
    for iteration in range(1, max_iter + 1):
        limits = (centroids[:-1] + centroids[1:]) / 2
        new = np.searchsorted(limits, values.astype(np.float64), side="left")
        if labels is not None and (new == labels).all():
            return centroids.astype(np.float32), iteration
        labels = new
        before = centroids.copy()
        for j in np.unique(labels):
            centroids[j] = values[labels == j].astype(np.float64).mean()
        if (before == centroids).all():
            return centroids.astype(np.float32), iteration
    return centroids.astype(np.float32), max_iter


def assign_twin(values, centroids):
    limits = (centroids[:-1].astype(np.float64) + centroids[1:]) / 2
    return np.searchsorted(limits, values.astype(np.float64), side="left")


def cost(values, centroids):
    distances = np.abs(values.astype(np.float64)[:, None] - centroids.astype(np.float64))
    return float((distances.min(axis=1) ** 2).sum())


def exact_twin(values, k):
    """Least cost of k clusters by plain dynamic programming."""
    values = np.sort(values).astype(np.float64)
    n = values.size
    best = np.full(n + 1, np.inf)
    best[0] = 0
    for _ in range(k):
        after = np.full(n + 1, np.inf)
        after[0] = 0
        for end in range(1, n + 1):
            for begin in range(end):
                part = values[begin:end]
                after[end] = min(after[end], best[begin] + ((part - part.mean()) ** 2).sum())
        best = after
    return best[n]


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 100_001])
def test_sort(n):
    rng = np.random.default_rng(n)
    values = (rng.standard_normal(n) * 10.0 ** rng.integers(-30, 30, n)).astype(np.float32)
    values[: n // 10] = 0
    before = values.copy()
    np.testing.assert_array_equal(_kmeans.sort_float32(values), np.sort(values))
    np.testing.assert_array_equal(values, before)


def test_sort_orders_zeros_and_infinities():
    values = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45], np.float32)
    result = _kmeans.sort_float32(values)
    assert result.tolist() == [-np.inf, -1.401298464324817e-45, 0, 0, 1.401298464324817e-45, np.inf]
    assert np.signbit(result).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("k", [1, 2, 5, 32])
@pytest.mark.parametrize("max_iter", [1, 3, 50])
def test_lloyd_agrees_with_twin(k, max_iter):
    values = np.sort(np.random.default_rng(k).standard_normal(3000).astype(np.float32))
    start = np.linspace(values[0], values[-1], k)
    centroids, iterations = _kmeans.lloyd(values, start, max_iter)
    expected, expected_iterations = lloyd_twin(values, start, max_iter)
    assert centroids.dtype == np.float32
    assert iterations == expected_iterations
    np.testing.assert_allclose(centroids, expected, rtol=1e-6, atol=1e-7)


def test_lloyd_keeps_empty_clusters_and_splits_ties_downwards():
    values = np.array([0, 1, 10], np.float32)
    centroids, _ = _kmeans.lloyd(values, np.array([0, 2, 50, 60], np.float32))
    # 1 is as near to 0 as to 2 and goes to 0.
    assert centroids.tolist() == [0.5, 10, 50, 60]
    same, iterations = _kmeans.lloyd(values, centroids)
    assert same.tolist() == centroids.tolist()
    assert iterations == 1


def test_lloyd_tolerance():
    values = np.sort(np.random.default_rng(0).standard_normal(10_000).astype(np.float32))
    start = np.linspace(-4, 4, 32)
    assert _kmeans.lloyd(values, start, 1000, 1e-2)[1] < _kmeans.lloyd(values, start, 1000)[1]
    centroids, iterations = _kmeans.lloyd(values, start, 0)
    assert iterations == 0
    np.testing.assert_array_equal(centroids, start.astype(np.float32))


def test_lloyd_of_no_values_or_unsorted_centroids():
    empty = np.array([], np.float32)
    assert _kmeans.lloyd(empty, np.array([1.0, 2.0]))[0].tolist() == [1, 2]
    with pytest.raises(ValueError, match="ascending"):
        _kmeans.lloyd(empty, np.array([2.0, 1.0]))
    with pytest.raises(ValueError, match="ascending"):
        _kmeans.lloyd(empty, np.array([]))
    with pytest.raises(ValueError, match="float32"):
        _kmeans.lloyd(np.array([1.0]), np.array([1.0]))


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_exact_is_the_optimum(k):
    rng = np.random.default_rng(k)
    for values in (rng.standard_normal(40), rng.integers(0, 12, 60) / 3, 100 + rng.random(30)):
        ordered = np.sort(values.astype(np.float32))
        centroids = _kmeans.exact(ordered, k)
        assert centroids.size == k
        assert (np.diff(centroids) > 0).all()
        assert cost(ordered, centroids) == pytest.approx(exact_twin(ordered, k), rel=1e-5, abs=1e-9)


def test_exact_with_fewer_distinct_values_than_centroids():
    values = np.array([1, 1, 2, 5, 5, 5], np.float32)
    assert _kmeans.exact(values, 10).tolist() == [1, 2, 5]
    assert _kmeans.exact(values, 1).tolist() == [np.float32(19 / 6)]


def test_exact_on_many_values_is_no_worse_than_lloyd():
    values = np.sort(np.random.default_rng(5).standard_normal(50_000).astype(np.float32))
    assert np.unique(values).size > 16_384
    centroids = _kmeans.exact(values, 16)
    lloyd, _ = _kmeans.lloyd(values, np.linspace(values[0], values[-1], 16), 1000)
    assert cost(values, centroids) <= cost(values, lloyd) * (1 + 1e-6)


def test_exact_arguments():
    values = np.array([1, 2], np.float32)
    for k in (-1, 0, 4097):
        with pytest.raises(ValueError, match="1 to 4096"):
            _kmeans.exact(values, k)
    with pytest.raises(ValueError, match="at least one value"):
        _kmeans.exact(values[:0], 2)


@pytest.mark.parametrize("k", [1, 2, 3, 8, 31, 64, 65, 66, 255, 256, 257, 5000, 65536])
def test_assign_agrees_with_twin(k):
    rng = np.random.default_rng(k)
    centroids = np.unique(rng.standard_normal(2 * k + 10).astype(np.float32))[:k]
    assert centroids.size == k or k == 65536
    for n in (0, 1, 31, 32, 33, 2000):
        values = rng.standard_normal(n).astype(np.float32)
        # Some lie on a centroid, some exactly between two.
        values[: n // 4] = rng.choice(centroids, n // 4)
        indices = _kmeans.assign(values, centroids)
        assert indices.dtype == (np.uint8 if centroids.size <= 256 else np.uint16)
        np.testing.assert_array_equal(indices, assign_twin(values, centroids))


def test_assign_ties_and_equal_centroids():
    values = np.array([-1, 0.5, 1, 1.5, 9], np.float32)
    assert _kmeans.assign(values, np.array([0, 1, 2], np.float32)).tolist() == [0, 0, 1, 1, 2]
    assert _kmeans.assign(values, np.array([1, 1, 1], np.float32)).tolist() == [0] * 5
    assert _kmeans.assign(values, np.array([0, 1, 1, 2], np.float32)).tolist() == [0, 0, 1, 1, 3]


def test_assign_neighbouring_floats():
    low = np.float32(1)
    high = np.nextafter(low, np.float32(2))
    centroids = np.array([low, high], np.float32)
    assert _kmeans.assign(centroids, centroids).tolist() == [0, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -np.nan])
def test_values_that_are_not_finite(bad):
    values = _kmeans.sort_float32(np.array([1, 2, bad, 3], np.float32))
    with pytest.raises(ValueError, match="finite"):
        _kmeans.exact(values, 2)
    with pytest.raises(ValueError, match="finite"):
        _kmeans.lloyd(values, np.array([1.0]))
    with pytest.raises(ValueError, match="finite"):
        _kmeans.assign(values, np.array([0, bad], np.float32))
    assert _kmeans.assign(np.array([np.nan], np.float32), np.array([1, 2], np.float32)) == [0]


def test_assign_arguments():
    values = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="ascending"):
        _kmeans.assign(values, np.array([1, 0], np.float32))
    with pytest.raises(ValueError, match="65536"):
        _kmeans.assign(values, np.array([], np.float32))
    with pytest.raises(ValueError, match="float32"):
        _kmeans.assign(values.astype(np.float64), np.array([1], np.float32))
