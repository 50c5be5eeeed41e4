from pathlib import Path

import numpy as np
import pytest

from cmodel.data import Source
from cmodel.errors import DataError
from cmodel.evaluate import evaluate
from cmodel.net import InputTransform

NAN = float("nan")


class Scores(Source):
    """Items are the scores themselves, fed as they are."""

    as_fed = True

    def __init__(self, scores, labels):
        super().__init__(Path("scores"), [f"s{i}" for i in range(len(scores))])
        self.scores = np.array(scores, np.float32)
        if labels is not None:
            self.set_labels(np.array(labels, np.int64), "labels")

    def _read(self, indices):
        return self.scores[indices]


class Engine:
    """Puts out what it is fed, in the shape asked for."""

    def __init__(self, tail=()):
        self.tail, self.batches = tail, []

    def run(self, feed, blobs):
        (x,) = feed.values()
        assert list(feed) == ["data"]
        self.batches.append(len(x))
        return {blob: x.reshape(*x.shape, *self.tail) for blob in blobs}


def judge(scores, labels, engine=None, **options):
    return evaluate(
        engine or Engine(),
        Scores(scores, labels),
        InputTransform(),
        input_blob="data",
        output_blob="prob",
        **options,
    )


def caffe_accuracy(scores, labels, top):
    """Caffe's loop, spelled out: entries at least as good as the label's, itself left out."""
    right = []
    for row, label in zip(scores, labels, strict=True):
        better = -1
        for score in row:
            better += bool(score >= row[label])
        right.append(better < top)
    return right


def test_counts_as_caffe_does():
    random = np.random.default_rng(0)
    # Few levels, so that ties abound.
    scores, labels = random.integers(0, 6, (200, 8)), random.integers(0, 8, 200)
    found = judge(scores, labels, batch=17)
    top1, top5 = caffe_accuracy(scores, labels, 1), caffe_accuracy(scores, labels, 5)
    assert found.correct.tolist() == top1
    assert found.correct5.tolist() == top5
    assert found.top1 == 100 * sum(top1) / 200
    assert found.top5 == 100 * sum(top5) / 200
    assert (found.images, found.classes) == (200, 8)
    assert found.seconds >= found.engine_seconds >= 0


def test_a_tie_counts_against():
    found = judge([[1, 1, 0], [2, 1, 0]], [0, 0])
    assert found.correct.tolist() == [False, True]
    assert found.top1 == 50.0


def test_top5_needs_five_classes():
    assert judge([[1, 0, 0, 0]], [0]).top5 is None
    assert judge([[1, 0, 0, 0]], [0]).correct5 is None
    assert judge([[1, 2, 3, 4, 5]], [0]).top5 == 100.0


@pytest.mark.parametrize("row", [[NAN] * 6, [NAN, 1, 2, 3, 4, 5], [1, NAN, 0, 0, 0, 0]])
def test_nan_is_wrong(row):
    found = judge([row], [0])
    assert (found.top1, found.top5) == (0.0, 0.0)


def test_infinities_are_scores():
    assert judge([[np.inf, 0, -np.inf]], [0]).top1 == 100.0


@pytest.mark.parametrize("tail", [(), (1,), (1, 1)])
def test_trailing_ones_do_not_matter(tail):
    assert judge([[3, 1], [1, 3]], [0, 1], Engine(tail)).top1 == 100.0


def test_a_map_of_scores_is_refused():
    class Map:
        def run(self, feed, blobs):
            return {"prob": np.zeros((2, 2, 3, 3), np.float32)}

    with pytest.raises(DataError, match=r"`prob` has the shape 2x2x3x3 for 2 images"):
        judge([[3, 1], [1, 3]], [0, 1], Map())


def test_another_number_of_rows_is_refused():
    class Fixed:
        def run(self, feed, blobs):
            return {"prob": np.zeros((10, 2), np.float32)}

    with pytest.raises(DataError, match="10x2 for 2 images"):
        judge([[3, 1], [1, 3]], [0, 1], Fixed())


@pytest.mark.parametrize("label", [-1, 3, 10**15])
def test_a_label_that_is_no_class(label):
    with pytest.raises(DataError, match=rf"`s4` has the label {label}, the net has 3"):
        judge(np.eye(3)[[0, 1, 2, 0, 1]], [0, 1, 2, 0, label], batch=2)


def test_no_labels():
    with pytest.raises(DataError, match="--labels"):
        judge([[1, 0]], None)


def test_no_images():
    with pytest.raises(DataError, match="no images"):
        judge([[1, 0]], [0], indices=np.arange(0))


def test_indices_choose_and_order():
    found = judge(np.eye(4), [0, 1, 0, 3], indices=np.array([3, 2, 0]))
    assert found.indices.tolist() == [3, 2, 0]
    assert found.correct.tolist() == [True, False, True]


def test_limit_draws_a_stratified_sample():
    labels = np.repeat(np.arange(5), 20)
    scores = np.eye(5)[labels]
    found = judge(scores, labels, limit=10, seed=1)
    assert found.images == 10
    assert np.bincount(labels[found.indices]).tolist() == [2] * 5
    again = judge(scores, labels, limit=10, seed=2)
    assert found.indices.tolist() != again.indices.tolist()
    inside = judge(scores, labels, indices=np.arange(20, 60), limit=6)
    assert set(inside.indices) <= set(range(20, 60))
    assert inside.images == 6


def test_progress_and_batches():
    seen, engine = [], Engine()
    judge(np.eye(7), range(7), engine, batch=3, on_progress=lambda *step: seen.append(step))
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert engine.batches == [3, 3, 1]
