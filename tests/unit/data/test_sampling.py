import numpy as np
import pytest

from cmodel.data import sample, split
from cmodel.errors import UsageError

LABELS = np.repeat(np.arange(4), [500, 300, 150, 50])
EXPECTED = [3, 11, 13, 20, 92]


def test_the_order_is_the_same_everywhere():
    # Fixed once: PCG64's raw stream does not change between machines or versions.
    assert sample(100, 5, 0).tolist() == EXPECTED
    assert sample(100, 5, 1).tolist() != EXPECTED


def test_a_sample_is_sorted_and_without_repeats():
    chosen = sample(1000, 300, 3)
    assert len(chosen) == 300
    assert (np.diff(chosen) > 0).all()


def test_a_sample_is_drawn_over_the_whole_source():
    chosen = sample(10_000, 1000, 0)
    quarters = np.bincount(chosen // 2500, minlength=4)
    assert quarters.min() > 200


@pytest.mark.parametrize("limit", [10, 100, 333, 999])
def test_classes_keep_their_share(limit):
    shuffled = np.random.default_rng(0).permutation(LABELS)
    counts = np.bincount(shuffled[sample(shuffled, limit, 7)], minlength=4)
    share = np.bincount(LABELS) * limit / len(LABELS)
    assert counts.sum() == limit
    assert (abs(counts - share) <= 1).all()


def test_one_of_each_class():
    labels = np.tile(np.arange(100), 5)
    assert sorted(labels[sample(labels, 100)]) == list(range(100))


def test_a_small_sample_lies_in_a_larger_one():
    assert set(sample(LABELS, 40, 2)) <= set(sample(LABELS, 90, 2))


def test_labels_decide_only_by_their_classes():
    assert np.array_equal(sample(LABELS, 77), sample(LABELS * -3 + 1000, 77))


def test_without_a_limit_or_above_it_all_are_taken():
    assert np.array_equal(sample(LABELS, None), np.arange(1000))
    assert np.array_equal(sample(7, 9), np.arange(7))


def test_split_is_disjoint_complete_and_stratified():
    parts = split(LABELS, [0.5, 0.3, 0.2], 1)
    assert [len(part) for part in parts] == [500, 300, 200]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    for part, fraction in zip(parts, [0.5, 0.3, 0.2], strict=True):
        assert (abs(np.bincount(LABELS[part]) - np.bincount(LABELS) * fraction) <= 1).all()


def test_split_may_leave_a_rest():
    first, second = split(10, [0.3, 0.3])
    assert len(first) == len(second) == 3
    assert not set(first) & set(second)


@pytest.mark.parametrize("fractions", [[], [0.7, 0.7], [-0.1, 0.5]])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(UsageError):
        split(10, fractions)


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(UsageError, match="at least one"):
        sample(10, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(UsageError, match="seed"):
        sample(10, 1, -1)
